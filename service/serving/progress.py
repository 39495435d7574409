"""What a start shows while it goes on: on a terminal one line that lives, in a log a line for each thing done.

Knows nothing of how it comes about: it is told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from service.deployments.reports import Deployed, Joined, Loading, Report


class Starting:
    """A context, told each report of the process that holds Ray."""

    def __init__(self, console: Console, models: Mapping[str, str], began: float, *, own_ray: bool) -> None:
        """`models` says of each by its name what is loaded; `began` is when the start began, of `time.monotonic`."""
        self._console, self._models, self._began = console, models, began
        self._own_ray = own_ray
        self._loaded: set[str] = set()
        self._live = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._live.add_task("Starting Ray" if own_ray else "Joining the cluster", total=None)

    def __enter__(self) -> Starting:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, report: Report) -> None:
        match report:
            case Joined():
                self._done("Ray has started" if self._own_ray else "Joined the cluster")
                self._now_loading([*self._models])
            case Loading(missing):
                self._are_loaded([name for name in self._models if name not in missing])
                self._now_loading([name for name in self._models if name in missing])
            case Deployed():
                self._are_loaded([*self._models])
                self._now("Waiting for the gateway")

    def _are_loaded(self, names: list[str]) -> None:
        for name in names:
            if name not in self._loaded:
                self._loaded.add(name)
                self._done(f"{name} is loaded: {self._models[name]}")

    def _now_loading(self, names: list[str]) -> None:
        if names:
            self._now(f"Loading {', '.join(names)} ({len(self._loaded)} of {len(self._models)} models are there)")

    def _now(self, doing: str) -> None:
        self._live.update(self._task, description=doing)

    def _done(self, what: str) -> None:
        seconds = time.monotonic() - self._began
        self._console.print(f"  [dim]{seconds:4.0f} s[/dim]  {escape(what)}", soft_wrap=True)
