"""A request's decoding settings, checked, as what the engine works with.

Knows the tokens' ids, but nothing of how they are chosen.
"""

from __future__ import annotations

import random
from dataclasses import replace

from models.tokenizer import Tokenizer
from service.engine.sequence import Sampling
from service.engine.stopping import StopWatch
from service.errors import InvalidRequest
from service.messages import Decoding

MOST_BIASES = 1024  # a request's size stays bounded, and a step's cost with it
MOST_STOPS, LONGEST_STOP = 16, 256
MOST_TOP_TOKENS = 20


def sampling_of(decoding: Decoding, *, vocabulary: int, penalize_prompt: bool) -> Sampling:
    """Raises InvalidRequest. `vocabulary` is the number of the model's tokens."""
    _check_adjustments(decoding, vocabulary)
    adjusted = Sampling(
        repetition_penalty=decoding.repetition_penalty,
        penalize_prompt=penalize_prompt,
        presence_penalty=decoding.presence_penalty,
        frequency_penalty=decoding.frequency_penalty,
        logit_bias=decoding.logit_bias,
    )
    if not decoding.do_sample:
        return adjusted
    _check_filters(decoding)
    return replace(
        adjusted,
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=_unless(1, decoding.top_p),
        min_p=_unless(0, decoding.min_p),
        typical_p=_unless(1, decoding.typical_p),
        seed=random.SystemRandom().getrandbits(63) if decoding.seed is None else decoding.seed,
    )


def watch_of(decoding: Decoding, tokenizer: Tokenizer) -> StopWatch | None:
    """Who looks out for the stop strings, where there are any. Raises InvalidRequest."""
    _within("the number of stop strings", len(decoding.stop), 0, MOST_STOPS)
    for index, text in enumerate(decoding.stop):
        _within(f"the length of stop[{index}]", len(text), 1, LONGEST_STOP)
    return StopWatch(tokenizer.detokenizer(), decoding.stop) if decoding.stop else None


def min_new_tokens_of(decoding: Decoding, max_new_tokens: int) -> int:
    _within("min_new_tokens", decoding.min_new_tokens, 0, max_new_tokens)
    return decoding.min_new_tokens


def top_n_tokens_of(decoding: Decoding) -> int:
    _within("top_n_tokens", decoding.top_n_tokens, 0, MOST_TOP_TOKENS)
    return decoding.top_n_tokens


def _check_adjustments(decoding: Decoding, vocabulary: int) -> None:
    # Far outside these bounds a penalty makes logits infinite, and there is nothing left to choose from.
    _within("repetition_penalty", decoding.repetition_penalty, 0.01, 100)
    _within("presence_penalty", decoding.presence_penalty, -2, 2)
    _within("frequency_penalty", decoding.frequency_penalty, -2, 2)
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


def _unless(neutral: float, value: float | None) -> float | None:
    """A filter that keeps everything is none: it would cost time, and its rounding a token."""
    return None if value == neutral else value


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # so written, NaN is outside
        limit = least if value < least else most
        raise InvalidRequest(f"{name} is {value}, expected {least} to {most}", value=value, limit=limit)


def _above_zero(name: str, value: float, most: float | None) -> None:
    if not (value > 0 and (most is None or value <= most)):
        expected = "more than 0" if most is None else f"more than 0 and at most {most}"
        limit = most if most is not None and value > most else 0
        raise InvalidRequest(f"{name} is {value}, expected {expected}", value=value, limit=limit)
