"""The terminal event of the tasks that write: translations and generations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from service.messages.events import Result

FinishReason = Literal["eos_token", "length", "stop_sequence", "loop"]
FINISH_REASONS: tuple[FinishReason, ...] = get_args(FinishReason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One more result of a request."""

    text: str
    score: float
    seed: int | None = None  # of a sampled one


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How much each token of a translation looked at each token of its source: cross-attention, mean over the heads.

    The texts of `source_tokens` join to the source as the model read it, those of `target_tokens` to the translation
    after its `target_prefix`. Tags and end tokens are among them, with an empty text; tokens that only together make a
    character are one.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]  # a row for each target token, over the source tokens; sums to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """How good a translation is to be expected."""

    value: float  # from 0 to 1: chrF, where it is calibrated, otherwise the geometric mean of its tokens' probabilities
    logprob: float  # the mean of its tokens' log-probabilities
    calibrated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence of a text that was translated in several, with what a `Completion` says of one."""

    source: str
    text: str
    finish_reason: FinishReason
    score: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    alignment: Alignment | None = None
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Result):
    text: str  # of the best result; of several samples, of the one with the request's own seed
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None = None  # of a sampled request
    score: float | None = None  # where several results were asked for; of several sentences their mean
    alternatives: tuple[Alternative, ...] = ()  # the other results, best first; samples by their seeds
    alignment: Alignment | None = None  # of one sentence
    sentences: tuple[Sentence, ...] = ()  # of a text that was translated in several
    confidence: Confidence | None = None  # where it was asked for; of several sentences their mean, by tokens

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.generated_tokens
