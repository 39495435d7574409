"""What a start tells while it goes on."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from service.deployments.reports import Deployed, Joined, Loading, Report
from service.serving.progress import Starting

MODELS = {"writer": "writer@2, 12.5 MB", "judge": "judge"}
REPORTS = (Joined("here:1"), Loading(("writer", "judge")), Loading(("judge",)), Loading(("judge",)), Deployed())


def told(*reports: Report, terminal: bool, own_ray: bool = True) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False)
    with Starting(console, MODELS, time.monotonic() - 3, own_ray=own_ray) as starting:
        for report in reports:
            starting.tell(report)
            starting._live.refresh()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_log_gets_a_line_for_each_thing_done_once() -> None:
    assert told(*REPORTS, terminal=False).splitlines() == [
        "     3 s  Ray has started",
        "     3 s  writer is loaded: writer@2, 12.5 MB",
        "     3 s  judge is loaded: judge",
    ]
    assert told(REPORTS[0], terminal=False, own_ray=False) == "     3 s  Joined the cluster\n"


def test_models_that_are_there_at_once_are_told_at_the_end() -> None:
    assert "judge is loaded" in told(Joined("here:1"), Deployed(), terminal=False)


@pytest.mark.parametrize(
    ("reports", "doing"),
    [
        ((), "Starting Ray"),
        (REPORTS[:1], "Loading writer, judge (0 of 2 models are there)"),
        (REPORTS[:3], "Loading judge (1 of 2 models are there)"),
        (REPORTS, "Waiting for the gateway"),
    ],
)
def test_a_terminal_has_a_line_besides_that_says_what_is_being_done(reports: tuple[Report, ...], doing: str) -> None:
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", told(*reports, terminal=True))
    assert doing in shown or not reports
