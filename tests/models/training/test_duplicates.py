from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.training.duplicates import SHINGLE, NearDuplicates, fingerprint

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
    assert (text in NearDuplicates(held_out, threshold)) == expected


def test_case_punctuation_and_spaces_make_no_difference_and_nothing_is_no_duplicate() -> None:
    near = NearDuplicates(["Je suis fatigué.", "!?"])
    assert "JE SUIS, FATIGUÉ !" in near
    assert "..." not in near
    assert "" not in near


def test_a_changed_letter_in_a_long_sentence_is_a_near_duplicate_and_another_name_in_a_short_one_is_not() -> None:
    near = NearDuplicates(["The weather was so bad that we had to put off our departure.", "Tom is here."])
    assert "The weather was so bad that we had to put off our departures!" in near
    assert "Mary is here." not in near
