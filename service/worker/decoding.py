"""A request's decoding settings, checked, as what the engine works with.

Knows the tokens' ids, but nothing of how they are chosen.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, fields

from models.tokenizer import IncrementalDetokenizer
from service.engine.beams import Beams
from service.engine.sequence import Sampling
from service.errors import InputTooLong, InvalidRequest
from service.messages import Decoding, TranslateRequest
from service.worker.stopping import StopWatch

MOST_BIASES = 1024  # a request's size stays bounded, and a step's cost with it
MOST_STOPS, LONGEST_STOP = 16, 256
MOST_TOP_TOKENS = 20
MOST_RATIO = 100
SEEDS = 2**63  # a seed is below
_OF_SAMPLING = {each.name for each in fields(Sampling)} & {each.name for each in fields(Decoding)}
_NEUTRAL = {"top_p": 1, "min_p": 0, "typical_p": 1}  # keep everything: as a filter they would cost time and rounding


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many new tokens there may be; the end token counts among the most, not among the least."""

    least: int
    most: int

    def within_ratios(self, source_tokens: int, least: float | None, most: float | None) -> Lengths:
        """The stricter of these and what the ratios to the source's tokens leave. Raises InvalidRequest."""
        for name, ratio in {"min_length_ratio": least, "max_length_ratio": most}.items():
            if ratio is not None:
                _within(name, ratio, 0, MOST_RATIO)
        # 1.1 times 10 is 11, whatever floating point makes of it.
        fewest = math.ceil((least or 0) * source_tokens - 1e-6)
        highest = self.most if most is None else max(1, math.floor(most * source_tokens + 1e-6))
        lengths = Lengths(max(self.least, fewest), min(self.most, highest))
        if lengths.least > lengths.most:
            raise InvalidRequest(
                f"for {source_tokens} source tokens, min_length_ratio and min_new_tokens ask for at least "
                f"{lengths.least} new ones, max_length_ratio and max_new_tokens allow {lengths.most}",
                value=lengths.least,
                limit=lengths.most,
            )
        return lengths


def lengths_of(decoding: Decoding, room: int, after: str = "") -> Lengths:
    """All the `room` there is unless less is asked for. `after` says what took the rest. Raises InvalidRequest."""
    most = decoding.max_new_tokens
    if most is not None and most < 1:
        raise InvalidRequest(f"max_new_tokens is {most}, expected at least 1", value=most, limit=1)
    if most is not None and most > room:
        raise InvalidRequest(f"max_new_tokens is {most}, the limit{after} is {room}", value=most, limit=room)
    most = room if most is None else most
    _within("min_new_tokens", decoding.min_new_tokens, 0, most)
    return Lengths(decoding.min_new_tokens, most)


def within_characters(name: str, text: str, limit: int) -> None:
    """Before it is read: a text that is longer has too many tokens whatever it says. Raises InputTooLong."""
    if len(text) > limit:
        raise InputTooLong(f"{name} has {len(text)} characters, the limit is {limit}", value=len(text), limit=limit)


def within_tokens(name: str, tokens: list[int], limit: int) -> None:
    if len(tokens) > limit:
        raise InputTooLong(f"{name} has {len(tokens)} tokens, the limit is {limit}", value=len(tokens), limit=limit)


def beams_of(decoding: Decoding) -> Beams | None:
    """How to search, where beams are asked for; how many has been checked. Raises InvalidRequest."""
    _within("length_penalty", decoding.length_penalty, -10, 10)
    if decoding.num_beams == 1:
        return None
    return Beams(
        width=decoding.num_beams,
        results=decoding.num_return_sequences,
        length_penalty=decoding.length_penalty,
        early_stopping=decoding.early_stopping,
    )


def align_layer_of(request: TranslateRequest, layers: int) -> int | None:
    """The decoder layer to look at, of `layers`; None where no alignment is wanted. Raises InvalidRequest."""
    if not request.return_alignment:
        return None
    if not layers:
        raise InvalidRequest("return_alignment is true, but this model's decoder does not attend to the source")
    if request.alignment_layer is None:
        return layers - 1
    _within("alignment_layer", request.alignment_layer, 0, layers - 1)
    return request.alignment_layer


def sampling_of(decoding: Decoding, *, vocabulary: int, penalize_prompt: bool) -> Sampling:
    """Raises InvalidRequest. `vocabulary` is the number of the model's tokens."""
    _check_adjustments(decoding, vocabulary)
    if decoding.do_sample:
        _check_filters(decoding)
    given = {name: getattr(decoding, name) for name in _OF_SAMPLING}
    neutral = {name: None for name, value in _NEUTRAL.items() if given[name] == value}
    seed = random.SystemRandom().randrange(SEEDS) if decoding.seed is None else decoding.seed
    return Sampling(**{**given, **neutral, "seed": seed if decoding.do_sample else 0}, penalize_prompt=penalize_prompt)


def watch_of(decoding: Decoding, detokenizer: IncrementalDetokenizer) -> StopWatch | None:
    """Who looks out for the stop strings, where there are any. Raises InvalidRequest."""
    _within("the number of stop strings", len(decoding.stop), 0, MOST_STOPS)
    for index, text in enumerate(decoding.stop):
        _within(f"the length of stop[{index}]", len(text), 1, LONGEST_STOP)
    return StopWatch(detokenizer, decoding.stop) if decoding.stop else None


def top_n_tokens_of(decoding: Decoding) -> int:
    _within("top_n_tokens", decoding.top_n_tokens, 0, MOST_TOP_TOKENS)
    return decoding.top_n_tokens


def _check_adjustments(decoding: Decoding, vocabulary: int) -> None:
    # Far outside these bounds a penalty makes logits infinite, and there is nothing left to choose from.
    _within("repetition_penalty", decoding.repetition_penalty, 0.01, 100)
    _within("presence_penalty", decoding.presence_penalty, -2, 2)
    _within("frequency_penalty", decoding.frequency_penalty, -2, 2)
    if decoding.no_repeat_ngram_size < 0:
        size = decoding.no_repeat_ngram_size
        raise InvalidRequest(f"no_repeat_ngram_size is {size}, expected at least 0", value=size, limit=0)
    _within("the number of tokens in logit_bias", len(decoding.logit_bias), 0, MOST_BIASES)
    for token, bias in decoding.logit_bias:
        _within("a token id in logit_bias", token, 0, vocabulary - 1)
        _within(f"logit_bias of token {token}", bias, -100, 100)


def _check_filters(decoding: Decoding) -> None:
    _above_zero("temperature", decoding.temperature, None)
    if decoding.top_k is not None and decoding.top_k < 1:
        raise InvalidRequest(f"top_k is {decoding.top_k}, expected at least 1", value=decoding.top_k, limit=1)
    if decoding.top_p is not None:
        _above_zero("top_p", decoding.top_p, 1)
    if decoding.min_p is not None:
        _within("min_p", decoding.min_p, 0, 1)
    if decoding.typical_p is not None:
        _above_zero("typical_p", decoding.typical_p, 1)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # so written, NaN is outside
        limit = least if value < least else most
        raise InvalidRequest(f"{name} is {value}, expected {least} to {most}", value=value, limit=limit)


def _above_zero(name: str, value: float, most: float | None) -> None:
    if not (value > 0 and (most is None or value <= most)):
        expected = "more than 0" if most is None else f"more than 0 and at most {most}"
        limit = most if most is not None and value > most else 0
        raise InvalidRequest(f"{name} is {value}, expected {expected}", value=value, limit=limit)
