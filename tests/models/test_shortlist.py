"""Tables of what translates what: learned from pairs, kept in a file, and asked for the tokens of a translation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.shortlist import Shortlist, ShortlistError, learned, restrict

VOCABULARY = 40


@pytest.fixture(scope="module")
def table() -> Shortlist:
    """Source tokens 10 to 19 are translated as 20 to 29, in any order; 5 is in every target."""
    chance = np.random.default_rng(0)
    pairs = []
    for _ in range(300):
        words = chance.choice(10, size=4, replace=False)
        pairs.append(((10 + words).tolist(), [5, *(20 + chance.permutation(words)).tolist()]))
    return learned({"en": [pairs]}, vocabulary=VOCABULARY, best=2, frequent=1, always=[0, 1, 2])


def test_a_tokens_translation_is_learned_from_pairs_that_do_not_say_what_belongs_together(table: Shortlist) -> None:
    found = table.of("en", [13])
    assert found is not None
    assert 23 in found
    assert len(found) < 10


def test_what_is_always_allowed_what_is_frequent_and_the_sources_own_tokens_may_come(table: Shortlist) -> None:
    found = table.of("en", [39, 13])
    assert found is not None
    assert {0, 1, 2, 5, 13, 39} <= set(found.tolist())
    assert found.tolist() == sorted(set(found.tolist()))


def test_of_a_language_that_it_does_not_have_any_token_may_come(table: Shortlist) -> None:
    assert table.of("ko", [13]) is None


def test_a_file_gives_the_table_again(table: Shortlist, tmp_path: Path) -> None:
    table.save(tmp_path / "table")
    again = Shortlist.load(tmp_path / "table", VOCABULARY)
    for token in range(VOCABULARY):
        assert np.array_equal(again.languages["en"].of([token]), table.languages["en"].of([token]))


def test_a_table_of_another_vocabulary_and_what_is_no_table_are_refused(table: Shortlist, tmp_path: Path) -> None:
    table.save(tmp_path / "table")
    with pytest.raises(ShortlistError, match="en has 40 source tokens, the model 41"):
        Shortlist.load(tmp_path / "table", 41)
    (tmp_path / "none").write_text("nothing")
    with pytest.raises(ShortlistError, match="not a shortlist's table"):
        Shortlist.load(tmp_path / "none", VOCABULARY)


def test_logits_outside_a_rows_list_are_minus_infinity_and_all_others_stay() -> None:
    logits = torch.randn(2, 5)
    found = restrict(logits, [np.array([1, 4], dtype=np.int32), None])
    assert torch.equal(found[1], logits[1])
    assert found[0, [1, 4]].equal(logits[0, [1, 4]])
    assert found[0, [0, 2, 3]].tolist() == [-math.inf] * 3
