"""What a person sees of a training run: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_SECONDS_BETWEEN_LINES = 30.0


class TrainingDisplay:
    def __init__(self, name: str, steps: int, console: Console | None = None) -> None:
        self._console = console or Console()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=steps, text="")
        self._name, self._steps = name, steps
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def update(self, step: int, *, loss: float, tokens_per_second: float, rate: float, seconds_left: float) -> None:
        left = f"{seconds_left / 60:.1f} min left" if seconds_left < 36_000 else f"{seconds_left / 3600:.1f} h left"
        text = f"loss {loss:.3f}  {tokens_per_second:,.0f} tokens/s  lr {rate:.2e}  {left}"
        self._bar.update(self._task, completed=step, text=text)
        if not self._console.is_terminal and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.say(f"step {step:,}/{self._steps:,}  {text}")

    def say(self, line: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {self._name}: {line}", highlight=False, soft_wrap=True)
