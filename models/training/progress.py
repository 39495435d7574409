"""What a person sees of a training run: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_SECONDS_BETWEEN_LINES = 30.0


class TrainingDisplay:
    """`shown` is False for a worker that leaves it to another."""

    def __init__(
        self,
        name: str,
        steps: int,
        say: Callable[[str], None] = print,
        *,
        console: Console | None = None,
        shown: bool = True,
    ) -> None:
        console = console or Console()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not (shown and console.is_terminal),
        )
        self._task = self._bar.add_task(name, total=steps, text="")
        self._name, self._steps, self._say, self._shown = name, steps, say, shown
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def update(self, step: int, *, loss: float, tokens_per_second: float, rate: float, seconds_left: float) -> None:
        """After step `step`; the learning rate is the one it was made with."""
        text = f"loss {loss:.3f}  {tokens_per_second:,.0f} tokens/s  lr {rate:.2e}  {_duration(seconds_left)} left"
        self._bar.update(self._task, completed=step, text=text)
        if self._bar.disable and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.say(f"step {step:,}/{self._steps:,}  {text}")

    def say(self, line: str) -> None:
        if self._shown:
            self._say(f"{time.strftime('%H:%M:%S')} {self._name}: {line}")


def _duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
