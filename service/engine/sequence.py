"""One request as the engine sees it: token ids in, token ids out. Knows nothing of text, HTTP or tensors."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass, field

from service.engine.stats import Outcome, RequestStats, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen. `temperature` 0 is greedy."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


@dataclass(eq=False, slots=True, kw_only=True)
class Sequence:
    """Its phase is derived: waiting without a slot, running with one, finished with an outcome."""

    id: str
    prompt: list[int]
    max_new_tokens: int
    segments: list[int] | None = None  # token types of the prompt, for models that have them
    end_id: int | None = None  # the token that ends it
    sampling: Sampling = Sampling()
    want_logprobs: bool = False
    want_logits: bool = False  # keep the whole output vector of the last step: a classifier's scores
    deadline: float | None = None  # time.monotonic()

    prefilled: int = 0  # positions its slot holds after prefill; set by the engine
    slot: int | None = None
    cancelled_at: float | None = None  # may be set from any thread; takes effect before the next step
    outcome: Outcome | None = None
    output: list[int] = field(default_factory=list)
    arrived: float = field(default_factory=time.monotonic)
    started: float | None = None  # first step that included it
    token_times: list[float] = field(default_factory=list)
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.sampling.seed)

    @property
    def position(self) -> int:
        """Of the newest token, which the next decode step feeds."""
        return self.prefilled + len(self.output) - 1

    def accept(self, token: int, now: float) -> None:
        """Take the next token and notice the end."""
        self.output.append(token)
        self.token_times.append(now)
        if token == self.end_id:
            self.outcome = "eos_token"
        elif len(self.output) >= self.max_new_tokens:
            self.outcome = "length"

    def stats(self, now: float) -> RequestStats:
        assert self.outcome is not None, "statistics are taken at the end"
        answered = self.outcome in ("eos_token", "length", "stop_sequence")
        stage: Stage = "finished" if answered else "waiting" if self.started is None else "running"
        times = self.token_times
        return RequestStats(
            outcome=self.outcome,
            stage=stage,
            prompt_tokens=len(self.prompt),
            generated_tokens=len(self.output),
            queue_s=None if self.started is None else self.started - self.arrived,
            first_token_s=times[0] - self.arrived if times else None,
            total_s=now - self.arrived,
            inter_token_s=tuple(later - earlier for earlier, later in itertools.pairwise(times)),
        )
