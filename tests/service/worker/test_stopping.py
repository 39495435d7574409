from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tokenizer import IncrementalDetokenizer
from service.worker.stopping import StopMatcher, StopWatch, before_stop

# Few letters, so that stop strings overlap the text and each other all the time.
texts = st.text(alphabet="abc한", max_size=30)
stops = st.lists(st.text(alphabet="abc한", min_size=1, max_size=5), min_size=1, max_size=4)


def cut(text: str, seed: int) -> list[str]:
    """The text in random pieces, empty ones among them."""
    chance = random.Random(seed)
    borders = sorted(chance.randint(0, len(text)) for _ in range(chance.randint(0, 12)))
    return [text[start:end] for start, end in zip([0, *borders], [*borders, len(text)], strict=True)]


def first_complete(text: str, stop: list[str]) -> str:
    """The definition, letter by letter."""
    for end in range(len(text) + 1):
        starts = [end - len(each) for each in stop if text[:end].endswith(each)]
        if starts:
            return text[: min(starts)]
    return text


class Spelled(IncrementalDetokenizer):
    """Token n is the n-th piece; the last piece comes only with the flush, as half a character would."""

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces

    def push(self, id: int) -> str:
        return self._pieces[id]

    def flush(self) -> str:
        return self._pieces[-1]


@given(text=texts, stop=stops)
def test_the_text_is_what_comes_before_the_first_occurrence(text: str, stop: list[str]) -> None:
    assert before_stop(text, stop) == first_complete(text, stop)


@given(text=texts, stop=stops, seed=st.integers(0, 2**32))
def test_what_is_shown_joins_to_the_text_however_it_is_cut(text: str, stop: list[str], seed: int) -> None:
    matcher, shown, pushed = StopMatcher(stop), [], ""
    for piece in cut(text, seed):
        pushed += piece
        shown.append(matcher.push(piece))
        assert before_stop(text, stop).startswith("".join(shown)), "nothing is shown that has to be taken back"
        assert matcher.stopped == any(each in pushed for each in stop), "it stops as soon as it can be known"
    assert "".join(shown) + matcher.flush() == before_stop(text, stop)


@given(text=texts, stop=stops, seed=st.integers(0, 2**32))
def test_no_more_is_held_back_than_could_become_a_stop_string(text: str, stop: list[str], seed: int) -> None:
    matcher, shown, pushed = StopMatcher(stop), "", ""
    for piece in cut(text, seed):
        shown, pushed = shown + matcher.push(piece), pushed + piece
        held = "" if matcher.stopped else pushed[len(shown) :]
        assert not held or any(each.startswith(held) for each in stop)


@given(text=texts, stop=stops, seed=st.integers(0, 2**32))
def test_a_stream_joins_to_the_unstreamed_text(text: str, stop: list[str], seed: int) -> None:
    pieces = cut(text, seed)
    watch, shown = StopWatch(Spelled(pieces), stop), ""
    for token in range(len(pieces) - 1):
        ended = watch(token)
        shown += watch.push(token)
        if ended:
            break
    assert shown + watch.flush() == before_stop(text, stop)


@pytest.mark.parametrize("kind", ["byte", "wordpiece"])
def test_every_stop_string_is_found_in_real_tokens(kind: str, tmp_path: Path) -> None:
    from tests import checkpoints

    tokenizer = (checkpoints.generator if kind == "byte" else checkpoints.classifier)(tmp_path).tokenizer
    chance = random.Random(0)
    for _ in range(60):
        ids = [chance.randrange(tokenizer.vocab_size) for _ in range(20)]
        whole = tokenizer.decode(ids)
        if not whole:
            continue
        start = chance.randrange(len(whole))
        stop = [whole[start : start + chance.randint(1, 4)]]
        watch, shown, ended = StopWatch(tokenizer.detokenizer(), stop), "", False
        for token in ids:
            ended = watch(token)
            shown += watch.push(token)
            if ended:
                break
        assert shown + watch.flush() == before_stop(whole, stop)
        assert stop[0] not in shown
