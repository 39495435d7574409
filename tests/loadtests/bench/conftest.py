from __future__ import annotations

import pytest
from rich.console import Console

from loadtests.bench.jobs import Job
from loadtests.bench.workloads import Workload
from tests.models.tiny import CONFIGS, built


@pytest.fixture
def console() -> Console:
    """Remembers what is printed: `console.export_text()`."""
    return Console(width=160, record=True, quiet=False)


@pytest.fixture
def tiny_workload() -> Workload:
    prompts = [[3 + n, 7, 11 + n] for n in range(4)]
    jobs = [Job(prompts=prompts[:batch], in_flight=batch, max_new_tokens=6, exact=True) for batch in (1, 4)]
    return Workload(
        name="tiny",
        title="a tiny translator",
        model=built(CONFIGS["seq2seq-pre-sinusoidal-tied"]),
        jobs=jobs,
        unit="tokens",
        goals={("ctranslate2", "greedy", 4): 2.0},
    )
