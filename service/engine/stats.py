"""What the engine tells about itself: plain dataclasses, counted by whoever observes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, Protocol, Self, get_args

Answered = Literal["eos_token", "length", "stop_sequence", "loop"]
Outcome = Answered | Literal["cancelled", "deadline", "error"]
ANSWERED: tuple[Answered, ...] = get_args(Answered)
Stage = Literal["waiting", "running", "finished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStats:
    """One step. Times in seconds; token counts are of this step."""

    prefill_requests: int
    prefill_tokens: int  # prompt tokens read
    padded_tokens: int  # the same, padding included
    decode_requests: int  # rows: a beam search has one a beam
    abandoned_tokens: int  # computed for requests that were cancelled before the step began: should stay 0
    prefill_s: float
    decode_s: float
    running: int  # after the step
    waiting: int
    slots_used: int
    kv_used_tokens: int
    kv_total_tokens: int
    prefix_query_tokens: int = 0  # prompt tokens of admitted requests that were looked for among prefixes read before
    prefix_hit_tokens: int = 0  # and were there: not computed again


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStats:
    """One request at its end, or one sequence of it."""

    outcome: Outcome
    stage: Stage  # where it was when it ended; "finished" for one that got its answer
    total_s: float
    prompt_tokens: int = 0  # of one that was given up as text: nobody has counted them
    generated_tokens: int = 0
    queue_s: float | None = None  # arrival to the first step that included it; None: never got there
    first_token_s: float | None = None  # arrival to the first token
    inter_token_s: tuple[float, ...] = ()  # gaps between neighbouring tokens

    @classmethod
    def of_sequences(cls, outcome: Outcome, each: Sequence[Self]) -> Self:
        """Of a request with these sequences, at least one, which has ended so."""
        stages = {stats.stage for stats in each}
        stage: Stage = "finished" if outcome in ANSWERED else "waiting" if stages == {"waiting"} else "running"
        return cls(
            outcome=outcome,
            stage=stage,
            total_s=max(stats.total_s for stats in each),
            prompt_tokens=sum(stats.prompt_tokens for stats in each),
            generated_tokens=sum(stats.generated_tokens for stats in each),
            queue_s=min((stats.queue_s for stats in each if stats.queue_s is not None), default=None),
            first_token_s=min((stats.first_token_s for stats in each if stats.first_token_s is not None), default=None),
            inter_token_s=tuple(chain.from_iterable(stats.inter_token_s for stats in each)),
        )


class Observer(Protocol):
    def observe_step(self, stats: StepStats) -> None:
        """Called from the engine's thread."""

    def observe_request(self, stats: RequestStats) -> None:
        """Called by whoever makes sequences of requests: to the engine, they are all alike."""


class NoObserver:
    def observe_step(self, stats: StepStats) -> None:
        pass

    def observe_request(self, stats: RequestStats) -> None:
        pass
