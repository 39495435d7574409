"""What the first worker tells of a run, on the terminal and in files; the others tell nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from models.training.progress import TrainingDisplay
from models.training.recipe import Training
from models.training.state import Measurement, Progress
from models.training.tracking import Tracking


class Reporter:
    """Of one sitting, whose `progress` the loop moves on."""

    def __init__(
        self,
        name: str,
        recipe: Training,
        directory: Path,
        progress: Progress,
        *,
        shown: bool,
        say: Callable[[str], None],
    ) -> None:
        self._recipe, self._progress = recipe, progress
        self._display = TrainingDisplay(name, recipe.steps, say, shown=shown)
        self._tracking = Tracking(directory, name, step=progress.step, say=say) if shown else None
        self._every = max(1, min(recipe.steps // 1000, 50))  # steps between lines of the log
        self._began = self._tracked = time.monotonic()
        self._tokens_before = self._tokens_tracked = progress.tokens
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._tracking is not None:
            self._stack.callback(self._tracking.close)
        self._stack.enter_context(self._display)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def step(self, loss: float, rate: float) -> None:
        """A step is done, at this learning rate."""
        progress, now = self._progress, time.monotonic()
        self._display.update(
            progress.step,
            loss=progress.training_loss,
            tokens_per_second=(progress.tokens - self._tokens_before) / (now - self._began),
            rate=rate,
            seconds_left=self._seconds_left(),
        )
        if self._tracking is not None and progress.step % self._every == 0:
            speed = (progress.tokens - self._tokens_tracked) / (now - self._tracked)
            self._tracking.steps(progress.step, loss=loss, learning_rate=rate, tokens_per_second=speed)
            self._tracked, self._tokens_tracked = now, progress.tokens

    def validation(self, result: Measurement) -> None:
        progress = self._progress
        if self._tracking is not None:
            counters = {name: getattr(progress, name) for name in ("epoch", "seconds", "tokens", "training_loss")}
            self._tracking.validation(progress.step, {**counters, **asdict(result)})
        best = f" (best: step {progress.best_step:,})" if progress.not_better else ""
        self._display.say(
            f"step {progress.step:,}: validation loss {result.loss:.4f}, accuracy {result.accuracy:.4f}{best}"
        )
        self._tracked, self._tokens_tracked = time.monotonic(), progress.tokens  # it is no part of training's speed

    def end(self, result: Measurement) -> None:
        self._display.say(f"done: validation loss {result.loss:.4f}, accuracy {result.accuracy:.4f}")

    def _seconds_left(self) -> float:
        progress, recipe = self._progress, self._recipe
        left = (recipe.steps - progress.step) * progress.seconds / progress.step
        return left if recipe.max_minutes is None else min(left, 60 * recipe.max_minutes - progress.seconds)
