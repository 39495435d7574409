from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.engine.prefixes import SHORTEST, KnownPrefix, PrefixStore, common_prefix

tokens = st.lists(st.integers(0, 1), max_size=12)


@given(tokens, tokens)
def test_the_common_prefix_is_as_long_as_counted_one_by_one(first: list[int], second: list[int]) -> None:
    expected = 0
    while expected < min(len(first), len(second)) and first[expected] == second[expected]:
        expected += 1
    assert common_prefix(first, second) == expected


def text(name: int, length: int = 40) -> list[int]:
    return [name] * length


def test_what_was_kept_is_found_but_for_the_prompts_last_token() -> None:
    store = PrefixStore(range(8, 10))
    assert store.keep(text(1)) == (9, 0)
    assert store.find([*text(1, 30), 5, 5]) == (9, 30)
    assert store.find(text(1)) == (9, 39)
    assert store.find(text(2)) == (-1, 0)
    assert store.find(text(1, SHORTEST)) == (-1, 0), "too short to be worth it"


def test_a_running_sequence_lends_its_prompt_too_where_it_has_more_in_common() -> None:
    store = PrefixStore(range(8, 9))
    store.keep(text(1, 20))
    assert store.find(text(1, 30), [KnownPrefix(3, text(1, 25))]) == (3, 25)
    assert store.find(text(1, 20), [KnownPrefix(3, text(2, 25))]) == (8, 19)


def test_a_text_that_goes_on_takes_the_place_of_its_beginning_and_copies_the_rest_only() -> None:
    store = PrefixStore(range(8, 10))
    store.keep(text(1, 20))
    assert store.keep(text(1, 35)) == (9, 20)
    assert store.keep(text(1, 25)) is None, "it is there"
    assert len(store) == 1


def test_the_least_recently_used_one_makes_room() -> None:
    store = PrefixStore(range(8, 10))
    store.keep(text(1))
    store.keep(text(2))
    store.find(text(1))
    assert store.keep(text(3)) == (8, 0), "the second one's slot"
    assert store.find(text(2)) == (-1, 0)
    assert store.find(text(1)) == (9, 39)


def test_a_store_without_slots_keeps_nothing_and_a_cleared_one_forgets() -> None:
    assert PrefixStore(range(0)).keep(text(1)) is None
    store = PrefixStore(range(8, 9))
    store.keep(text(1))
    store.clear()
    assert store.find(text(1)) == (-1, 0)
    assert store.keep(text(2)) == (8, 0)
