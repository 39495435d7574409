"""Continuous batching, one step at a time: schedule, run, update. Token ids in, token ids out; single-threaded.

Knows nothing of text, of threads, or of which architecture it drives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import chain

from service.engine.beams import Branch
from service.engine.runner import Details, Runner, StepResult
from service.engine.scheduler import Plan, Scheduler
from service.engine.sequence import Sequence
from service.engine.stats import NoObserver, Observer, StepStats

NO_DETAILS = Details()


@dataclass(frozen=True, slots=True)
class Output:
    """One token of a sequence, or its end without one. `sequence.outcome` is set on the last output."""

    sequence: Sequence
    index: int = 0  # of the token: 0, 1, ...
    token: int | None = None
    details: Details = NO_DETAILS
    last: bool = False
    error: str | None = None


class Engine:
    def __init__(self, runner: Runner, scheduler: Scheduler, observer: Observer | None = None) -> None:
        self.runner, self.scheduler, self.capabilities = runner, scheduler, runner.capabilities
        self.observer = observer or NoObserver()

    def add(self, sequence: Sequence) -> None:
        prompt, prefix = sequence.spec.prompt, sequence.spec.target_prefix
        sequence.prefilled = self.capabilities.prefilled(len(prompt), len(prefix))
        self.scheduler.add(sequence)

    @property
    def idle(self) -> bool:
        return self.scheduler.idle

    def step(self) -> list[Output]:
        """Advance every running sequence by one token and admit waiting ones. No-op when idle."""
        plan = self.scheduler.schedule(time.monotonic())
        result = self.runner.run(plan)
        return self._update(plan, result)

    def abort(self, reason: str) -> list[Output]:
        """End everything, waiting and running, with an error: after a step that failed."""
        sequences = [*self.scheduler.waiting, *self.scheduler.running]
        for sequence in sequences:
            sequence.outcome = "error"
        self.scheduler.clear()
        return [Output(s, last=True, error=reason) for s in sequences]

    def _update(self, plan: Plan, result: StepResult) -> list[Output]:
        now = time.monotonic()
        outputs = [Output(s, last=True) for s in plan.dropped]
        for chunk in chain.from_iterable(plan.prefill):
            if chunk.sequence.started is None:
                chunk.sequence.started = plan.at
        for row, token in zip(result.rows, result.tokens, strict=True):
            sequence = row.sequence
            sequence.accept(token, now)
            if result.details:
                sequence.logprob += result.details.get(row, NO_DETAILS).logprob or 0.0
            if sequence.spec.streamed or sequence.outcome is not None:
                outputs.append(self._told(sequence, token, result.details.get(row, NO_DETAILS)))
        for sequence, branches in result.branches.items():
            outputs += self._advance(sequence, branches, now)
        ended = [output.sequence for output in outputs if output.last and output.sequence.rows]
        for sequence in ended:
            if sequence.spec.align_layer is not None:
                sequence.alignments = [
                    self.runner.align(sequence, tokens, sequence.spec.align_layer) for tokens in sequence.results
                ]
        self.scheduler.release(ended)
        self._observe(plan, result)
        return outputs

    @staticmethod
    def _told(sequence: Sequence, token: int, details: Details) -> Output:
        last = sequence.outcome is not None
        return Output(sequence, index=len(sequence.output) - 1, token=token, details=details, last=last)

    def _advance(self, sequence: Sequence, branches: list[Branch], now: float) -> list[Output]:
        """A beam search tells nothing before its end."""
        search = sequence.searching
        beams = [row.tokens for row in sequence.rows[: search.beams]]
        chosen = search.advance(beams, branches)
        if chosen:
            self.scheduler.branch(sequence, chosen)
            return []
        sequence.finish(search.results(beams), now)
        return [Output(sequence, last=True)]

    def _observe(self, plan: Plan, result: StepResult) -> None:
        prefill = list(chain.from_iterable(plan.prefill))
        worked = [row.sequence for row in result.rows] + list(result.branches)
        rows = self.scheduler.rows
        self.observer.observe_step(
            StepStats(
                prefill_requests=len(prefill),
                prefill_tokens=sum(map(len, prefill)),
                padded_tokens=result.padded_tokens,
                decode_requests=len(plan.decode),
                abandoned_tokens=sum([s.cancelled_at < plan.at for s in worked if s.cancelled_at is not None]),
                prefix_query_tokens=plan.queried,
                prefix_hit_tokens=plan.found,
                prefill_s=result.prefill_s,
                decode_s=result.decode_s,
                running=len(self.scheduler.running),
                waiting=len(self.scheduler.waiting),
                slots_used=len(rows),
                kv_used_tokens=sum([row.filled for row in rows]) if self.capabilities.grows else 0,
                kv_total_tokens=rows.capacity * self.runner.state.length if self.capabilities.grows else 0,
            )
        )
