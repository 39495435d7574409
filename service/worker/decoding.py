"""A request's decoding settings as what the engine works with.

That they are within their bounds has been checked before (`service.messages.check_bounds`); here are the limits of the
model and the text. Knows the tokens' ids, but nothing of how they are chosen.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, fields

from service.engine.beams import Beams
from service.engine.constraints import Phrase
from service.engine.sequence import Sampling
from service.errors import InputTooLong, InvalidRequest
from service.messages import MOST_BEAMS, SEEDS, Bounds, Decoding, TranslateRequest
from service.messages.decoding import FILTERS

_OF_SAMPLING = {each.name for each in fields(Sampling)} & {each.name for each in fields(Decoding)}


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many new tokens there may be; the end token counts among the most, not among the least."""

    least: int
    most: int

    def within_ratios(self, source_tokens: int, least: float | None, most: float | None) -> Lengths:
        """The stricter of these and what the ratios to the source's tokens leave. Raises InvalidRequest."""
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
    if most is not None and most > room:
        message = f"max_new_tokens is {most}, the limit{after} is {room}"
        raise InvalidRequest(message, parameter="max_new_tokens", value=most, limit=room)
    most = room if most is None else most
    Bounds(ge=0, le=most).check("min_new_tokens", decoding.min_new_tokens, parameter="min_new_tokens")
    return Lengths(decoding.min_new_tokens, most)


def within_characters(name: str, text: str, limit: int) -> None:
    """Before it is read: a text that is longer has too many tokens whatever it says. Raises InputTooLong."""
    if len(text) > limit:
        raise InputTooLong(f"{name} has {len(text)} characters, the limit is {limit}", value=len(text), limit=limit)


def within_tokens(name: str, tokens: list[int], limit: int) -> None:
    if len(tokens) > limit:
        raise InputTooLong(f"{name} has {len(tokens)} tokens, the limit is {limit}", value=len(tokens), limit=limit)


def within_vocabulary(where: str, parameter: str, tokens: Iterable[int], vocabulary: int) -> None:
    """`vocabulary` is the number of the model's tokens. Raises InvalidRequest."""
    ids = Bounds(ge=0, le=vocabulary - 1)
    for token in tokens:
        ids.check(f"a token id in {where}", token, parameter=parameter)


def beams_of(decoding: Decoding, phrases: tuple[Phrase, ...] = (), slots: int = MOST_BEAMS) -> Beams | None:
    """How to search, where beams are asked for, or needed: for each token of the phrases one, if there is room."""
    if decoding.num_beams == 1 and not phrases:
        return None
    needed = 2 + sum(len(phrase.tokens) for phrase in phrases) if phrases else 1
    return Beams(
        width=max(decoding.num_beams, min(needed, MOST_BEAMS, slots)),
        results=decoding.num_return_sequences,
        length_penalty=decoding.length_penalty,
        early_stopping=decoding.early_stopping,
    )


def can_search(decoding: Decoding) -> bool:
    """Whether it may become a beam search without being asked for one."""
    return not (decoding.do_sample or decoding.stop or decoding.top_n_tokens)


def align_layer_of(request: TranslateRequest, layers: int) -> int | None:
    """The decoder layer to look at, of `layers`; None where no alignment is wanted. Raises InvalidRequest."""
    if not request.return_alignment:
        return None
    if not layers:
        raise InvalidRequest("return_alignment is true, but this model's decoder does not attend to the source")
    if request.alignment_layer is None:
        return layers - 1
    Bounds(ge=0, le=layers - 1).check("alignment_layer", request.alignment_layer)
    return request.alignment_layer


def sampling_of(decoding: Decoding, *, vocabulary: int, penalize_prompt: bool) -> Sampling:
    """Raises InvalidRequest. `vocabulary` is the number of the model's tokens."""
    within_vocabulary("logit_bias", "logit_bias", [token for token, _ in decoding.logit_bias], vocabulary)
    given = {name: getattr(decoding, name) for name in _OF_SAMPLING}
    # A filter that keeps everything would cost time, and its rounding a token.
    unfiltered = {name: None for name, neutral in FILTERS.items() if given[name] == neutral}
    seed = random.SystemRandom().randrange(SEEDS) if decoding.seed is None else decoding.seed
    return Sampling(
        **{**given, **unfiltered, "seed": seed if decoding.do_sample else 0}, penalize_prompt=penalize_prompt
    )
