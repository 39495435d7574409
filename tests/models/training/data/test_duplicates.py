from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.training.data.duplicates import SHINGLE, NearDuplicates, Seen, fingerprint, hash64

texts = st.text(alphabet="abc ", max_size=24)


def similarity(first: str, second: str) -> float:
    """By the definition, comparing everything."""
    one, other = (
        {text[i : i + SHINGLE] for i in range(max(len(text) - SHINGLE + 1, 1))}
        for text in (fingerprint(first), fingerprint(second))
    )
    return len(one & other) / len(one | other)


@given(st.lists(texts, max_size=12), texts, st.sampled_from([0.5, 0.8, 1.0]))
def test_exactly_those_are_found_that_comparing_with_every_text_finds(
    held_out: list[str], text: str, threshold: float
) -> None:
    expected = any(
        similarity(text, other) >= threshold for other in held_out if fingerprint(text) and fingerprint(other)
    )
    assert NearDuplicates(held_out, threshold).has(fingerprint(text)) == expected


def test_case_punctuation_and_spaces_make_no_difference_and_nothing_is_no_duplicate() -> None:
    near = NearDuplicates(["Je suis fatigué.", "!?"])
    assert near.has(fingerprint("JE SUIS, FATIGUÉ !"))
    assert not near.has(fingerprint("..."))
    assert not near.has(fingerprint(""))


def test_a_changed_letter_in_a_long_sentence_is_a_near_duplicate_and_another_name_in_a_short_one_is_not() -> None:
    near = NearDuplicates(["The weather was so bad that we had to put off our departure.", "Tom is here."])
    assert near.has(fingerprint("The weather was so bad that we had to put off our departures!"))
    assert not near.has(fingerprint("Mary is here."))


def test_hashes_are_the_same_everywhere_and_another_key_gives_others() -> None:
    assert hash64("a") == 3405396810240292928
    assert hash64("a") != hash64("b")
    assert hash64("a") != hash64("a", "1")


@given(st.lists(st.integers(1, 300), max_size=400))
def test_seen_is_a_set_as_long_as_it_has_room(hashes: list[int]) -> None:
    seen, expected = Seen(), set[int]()
    for value in hashes:
        assert seen.add(value) == (value not in expected)
        expected.add(value)


def test_seen_grows_and_forgets_nothing_on_the_way() -> None:
    seen = Seen()
    hashes = [hash64(str(number)) for number in range(120_000)]
    assert all(map(seen.add, hashes))
    assert not any(map(seen.add, hashes))


def test_seen_holds_no_more_than_it_may_and_then_forgets_some() -> None:
    seen = Seen(most=1024)
    hashes = [hash64(str(number)) for number in range(5000)]
    assert sum(map(seen.add, hashes)) == 5000
    assert not seen.add(hashes[-1])
    assert sum(seen.add(value) for value in hashes) > 4000
