"""Long prompts: what they do to streams that run, and what a prefix that was read before spares.

    triptych bench prompts [--precision auto]

GPT-2 small with random weights. Four streams run; then a prompt of maximum length arrives, and the worst gap between
neighbouring tokens of the streams is measured, with prompts read at once and in chunks of several budgets. Then the
time to first token of a long prompt, new to the engine and with all but its last tokens read before.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtests.bench.engines import CPU
from loadtests.bench.workloads import GPT2_SMALL, random_model
from models.config import GPTConfig
from models.interface import StateSize
from models.precision import Precision, convert, resolve_precision
from service.engine.engine import Engine
from service.engine.prefixes import PrefixStore
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sequence, SequenceSpec

STREAMS, SLOTS, PREFIX_SLOTS = 4, 5, 2
BUDGETS = (4096, 512, 256, 128, 64)  # padded prompt tokens a step
BEFORE, AFTER = 8, 8  # steps around the long prompt
NEW = 16  # tokens of a prompt behind the prefix that was read before


@dataclass(frozen=True, kw_only=True)
class Gap:
    budget: int
    usual_ms: float  # median gap of the streams while nothing else happens
    worst_ms: float  # while the long prompt is read
    first_token_ms: float  # of the long prompt


@dataclass(frozen=True, kw_only=True)
class FirstToken:
    prompt_tokens: int
    read_before: int
    ms: float


def engine_for(model: Any, dtype: Any, budget: int) -> Engine:
    config: GPTConfig = model.config
    state = model.new_state(StateSize(slots=SLOTS + PREFIX_SLOTS, length=config.context, dtype=dtype))
    prefixes = PrefixStore(range(SLOTS, SLOTS + PREFIX_SLOTS))
    runner = Runner(model, state, device=CPU)
    scheduler = Scheduler(slots=SLOTS, prefill_tokens=budget, chunked=True, prefixes=prefixes, packed=runner.packed)
    return Engine(runner, scheduler)


def gap(engine: Engine, budget: int, prompt: list[int]) -> Gap:
    vocabulary = engine.runner.model.config.vocab_size
    most = BEFORE + AFTER + len(prompt) // 16 + 2
    streams = [
        Sequence(
            SequenceSpec(id=f"stream {n}", prompt=[(7 * n + k) % vocabulary for k in range(20)], max_new_tokens=most)
        )
        for n in range(STREAMS)
    ]
    for stream in streams:
        engine.add(stream)
    while any(len(stream.output) <= BEFORE for stream in streams):
        engine.step()
    long = Sequence(SequenceSpec(id="long", prompt=prompt, max_new_tokens=2))
    usual = [later - earlier for s in streams for earlier, later in itertools.pairwise(s.token_times)]
    before = [len(stream.output) for stream in streams]
    engine.add(long)
    while not long.output:
        engine.step()
    during = [
        later - earlier
        for stream, start in zip(streams, before, strict=True)
        for earlier, later in itertools.pairwise(stream.token_times[start - 1 :])
    ]
    for stream in streams:
        stream.cancelled_at = 0.0
    while not engine.idle:
        engine.step()
    return Gap(
        budget=budget,
        usual_ms=statistics.median(usual) * 1000,
        worst_ms=max(during) * 1000,
        first_token_ms=(long.token_times[0] - long.spec.arrived) * 1000,
    )


def first_tokens(engine: Engine, prompt: list[int]) -> list[FirstToken]:
    """A prompt that nobody has read, and one that differs from it in its last tokens only."""
    found = []
    for number, tokens in enumerate((prompt, prompt[:-NEW] + [token + 1 for token in prompt[-NEW:]])):
        sequence = Sequence(SequenceSpec(id=str(number), prompt=tokens, max_new_tokens=1))
        engine.add(sequence)
        assert engine.scheduler.prefixes is not None
        plan_hits = engine.scheduler.prefixes.find(tokens)[1]
        while not engine.idle:
            engine.step()
        taken = sequence.token_times[0] - sequence.spec.arrived
        found.append(FirstToken(prompt_tokens=len(tokens), read_before=plan_hits, ms=taken * 1000))
    return found


def run(
    *, precision: Precision, rounds: int, console: Console, config: GPTConfig = GPT2_SMALL, budgets: Any = BUDGETS
) -> dict[str, Any]:
    precision, reason = resolve_precision(precision, CPU)
    model, dtype = convert(random_model(config), precision, CPU)
    engines = {budget: engine_for(model, dtype, budget) for budget in budgets}
    gaps: dict[int, list[Gap]] = {budget: [] for budget in budgets}
    for number in range(rounds + 1):
        # Another prompt each time: the same one would be found among those read before.
        prompt = [(number * 31 + token * 17 + 3) % config.vocab_size for token in range(config.max_prompt - 2)]
        for budget, engine in engines.items():
            gaps[budget].append(gap(engine, budget, prompt))
    medians = [_median(found[1:]) for found in gaps.values()]  # the first round warms up
    prompt = [(token * 29 + 5) % (config.vocab_size - 1) for token in range(config.max_prompt // 2)]
    firsts = first_tokens(engines[budgets[0]], prompt)
    _show(medians, firsts, f"{precision} ({reason})", console)
    return {
        "precision": precision,
        "gaps": [asdict(each) for each in medians],
        "first_tokens": [asdict(each) for each in firsts],
    }


def _median(found: list[Gap]) -> Gap:
    return Gap(
        budget=found[0].budget,
        usual_ms=statistics.median(each.usual_ms for each in found),
        worst_ms=statistics.median(each.worst_ms for each in found),
        first_token_ms=statistics.median(each.first_token_ms for each in found),
    )


def _show(gaps: list[Gap], firsts: list[FirstToken], title: str, console: Console) -> None:
    table = Table(
        "prompt tokens a step", "usual gap, ms", "worst gap, ms", "long prompt's first token, ms",
        title=f"{STREAMS} streams while a prompt of maximum length is read; {title}",
    )  # fmt: skip
    for each in gaps:
        table.add_row(str(each.budget), f"{each.usual_ms:.1f}", f"{each.worst_ms:.1f}", f"{each.first_token_ms:.0f}")
    console.print(table)
    table = Table("prompt tokens", "read before", "first token, ms", title="Time to first token")
    for first in firsts:
        table.add_row(str(first.prompt_tokens), str(first.read_before), f"{first.ms:.1f}")
    console.print(table)
