"""What the first worker tells of a run, on the terminal and in files; the others tell nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from models.training.evaluation.validation import Shown
from models.training.sections import Training
from models.training.state import Measurement, Progress
from models.training.tracking import Say, Sink, Tracking

_SECONDS_BETWEEN_LINES = 30.0
_MUCH = 0.1  # of a run's time, for answers that are only looked at
_NAMES = {"bleu": "BLEU", "bits_per_byte": "bits per byte"}


class TrainingDisplay:
    """A bar on a terminal, a line now and then in a log file; nothing of a worker that is not `shown`."""

    def __init__(self, name: str, steps: int, say: Say, *, shown: bool, console: Console | None = None) -> None:
        console = console or Console()
        self._bar = Bar(
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

    def __exit__(self, *error: object) -> None:
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


class Reporter:
    """Of one sitting, whose `progress` the loop moves on. `score` is what a measurement's score is called."""

    def __init__(
        self,
        name: str,
        recipe: Training,
        directory: Path,
        progress: Progress,
        *,
        shown: bool,
        say: Say,
        score: str,
        sinks: Sequence[Sink],
    ) -> None:
        self._recipe, self._progress, self._score = recipe, progress, score
        self._display = TrainingDisplay(name, recipe.steps, say, shown=shown)
        self._tracking = Tracking(directory, name, step=progress.step, say=say, sinks=sinks) if shown else None
        self._every = max(1, min(recipe.steps // 1000, 50))  # steps between lines of the log
        self._began = self._tracked = time.monotonic()
        self._answering: float | None = 0.0  # seconds; None once it is said that they are many
        self._tokens_before = self._tokens_tracked = progress.tokens

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._display.__exit__()
        if self._tracking is not None:
            self._tracking.close()

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
            values = {"loss": loss, "learning_rate": rate, "tokens_per_second": speed}
            self._tracking.steps(progress.step, values)
            self._tracked, self._tokens_tracked = now, progress.tokens

    def validation(self, result: Measurement, samples: Sequence[Shown], seconds: float) -> None:
        """What was measured, what the model said, and how long it took to say it."""
        progress, measures = self._progress, self._measures(result)
        if self._tracking is not None:
            counters = {name: getattr(progress, name) for name in ("epoch", "seconds", "tokens", "training_loss")}
            counters["scored"] = result.scored
            self._tracking.validation(progress.step, measures, counters, samples)
        best = f" (best: step {progress.best_step:,})" if progress.not_better else ""
        lines = [f"step {progress.step:,}: validation {_figures(measures)}{best}"]
        for sample in samples:
            lines += [f"  {sample.source}", f"    expected: {sample.expected}", f"    answer:   {sample.answer}"]
        self._display.say("\n".join(lines))
        self._warn_of_slow_answers(seconds)
        self._tracked, self._tokens_tracked = time.monotonic(), progress.tokens  # it is no part of training's speed

    def end(self, result: Measurement) -> None:
        self._display.say(f"done: validation {_figures(self._measures(result))}")

    def _measures(self, result: Measurement) -> dict[str, float]:
        scores = {} if result.score is None else {self._score: result.score}
        return {"loss": result.loss, "accuracy": result.accuracy, **scores}

    def _warn_of_slow_answers(self, seconds: float) -> None:
        if self._answering is None:
            return
        took = time.monotonic() - self._began
        self._answering += seconds
        if took > 60 and self._answering > _MUCH * took:
            self._display.say(
                f"{self._answering / took:.0%} of the time goes into answers at validations: a smaller "
                "training.score_texts or a larger training.validate_every saves it"
            )
            self._answering = None

    def _seconds_left(self) -> float:
        progress, recipe = self._progress, self._recipe
        left = (recipe.steps - progress.step) * progress.seconds / progress.step
        return left if recipe.max_minutes is None else min(left, 60 * recipe.max_minutes - progress.seconds)


def _figures(measures: dict[str, float]) -> str:
    return ", ".join(
        f"{_NAMES.get(name, name)} {value:.{2 if name == 'bleu' else 4}f}" for name, value in measures.items()
    )


def _duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
