"""The training loop: one model, one objective, examples in, trained weights out. Resumes exactly where it was stopped.

A step's gradient is that of `accumulate` batches, shared out among the workers. The randomness of each (dropout, masks)
comes from the seed, the step and its place within the step, and the order of the batches from the seed and the epoch,
so that neither the number of workers nor an interruption changes what is learned.

Knows nothing of files to read, tokenizers or tasks.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training.averaging import Averaging
from models.training.compiling import compiled, uncompiled
from models.training.data.batches import Chosen, endless_batches, plan_batches
from models.training.data.examples import Examples, TrainingExamples
from models.training.evaluation.validation import Judge, Shown
from models.training.fast import divergence, number_format, smoothed_cross_entropy, speed_up_on_cpu
from models.training.objectives import Batch, Objective
from models.training.optimizer import build_optimizers, clip_gradients, schedule
from models.training.parallel import ALONE, Group
from models.training.reporting import Reporter
from models.training.sections import Training
from models.training.state import Measurement, Progress, States, latest_state
from models.training.tracking import Say, Sink


class Interrupted(Exception):
    """The run was asked to stop (SIGTERM, SIGINT); its state is saved."""


class DivergedError(Exception):
    """The loss is no longer a number."""


class Trainer:
    """Parameters that require no gradient are left as they are, and out of averages and states."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        recipe: Training,
        *,
        objective: Objective,
        training: TrainingExamples,
        validation: Examples,
        directory: Path,
        recipe_hash: str,
        seed: int,
        device: torch.device,
        group: Group = ALONE,
        say: Say = print,
        judge: Judge | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        """`judge` says what the model answers at each validation; `sinks` are told what is measured, besides the files
        of the run."""
        recipe.check_workers(group.size)
        if device.type == "cpu":
            speed_up_on_cpu(model)
        self.model, self._recipe, self._device = model.to(device), recipe, device
        self._directory, self._seed, self._group, self._judge = directory, seed, group, judge
        self._objective, self._training, self._validation = objective, training, validation
        self._reporter = partial(Reporter, name, recipe, directory, shown=group.rank == 0, say=say, sinks=sinks)
        self._batches_after = partial(
            endless_batches, lambda epoch: objective.sizes(training.epoch(epoch)), recipe.batch_tokens, seed
        )
        self.learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._optimizers = build_optimizers(model, recipe)
        self._averaging = Averaging(self.learned, recipe, directory, group)
        self._states = States(directory, recipe_hash, self.learned, self._averaging.moving, self._optimizers)
        self._stop = False
        self.progress = Progress()

    @property
    def score_name(self) -> str:
        """What a measurement's score is; "" where there is none."""
        return self._judge.measure if self._judge else ""

    def resume(self) -> bool:
        """Take up the latest saved state, if there is one. Raises ResumeError."""
        state = latest_state(self._directory)
        mine = -1 if state is None else int(state.name.removeprefix("state-"))
        (step,) = self._group.sum([mine if self._group.rank == 0 else 0])
        if step < 0:
            return False
        self.progress = self._states.load(int(step))
        return True

    def run(self) -> Measurement:
        """Train to the end of the budget; the model is left with the weights to publish.

        Raises Interrupted, DivergedError, and LostWorkerError when another worker of the group is gone.
        """
        recipe, progress = self._recipe, self.progress
        self.model.train()
        quick = compiled(self.model) if recipe.compile else nullcontext()
        with self._reporter(progress, score=self.score_name) as reporter, on_signals(self._stop_soon), quick:
            self._train(reporter)
            if progress.validated != progress.step or progress.last is None:
                self._validate(reporter)
            self.save()
            self._averaging.publish(progress)
            self.model.eval()
            result = progress.best if recipe.patience else progress.last
            assert result is not None, "every run ends with a validation"
            reporter.end(result)
        return result

    def _stop_soon(self, number: int, frame: object) -> None:
        """The run ends after the current step."""
        self._stop = True

    def save(self) -> None:
        if self._group.rank == 0:
            self._states.save(self.progress)
            self._averaging.drop_old(self.progress)

    @torch.no_grad()
    def measure(self) -> Measurement:
        """With the weights that the model has now; the workers share the work."""
        with self._evaluating():
            loss, right, scored = 0.0, 0, 0
            sizes = self._objective.sizes(self._validation)
            for index, rows in enumerate(plan_batches(sizes, self._recipe.batch_tokens, self._seed, 0)):
                if index % self._group.size != self._group.rank:
                    continue
                random = np.random.default_rng((self._seed, index))
                batch = self._objective.batch([self._validation[row] for row in rows], random).to(self._device)
                with self._autocast():
                    logits_NV = self._objective.logits(self.model, batch)[0].float()
                targets_N = batch.targets[0]
                loss += float(F.cross_entropy(logits_NV, targets_N, reduction="sum"))
                right += int((logits_NV.argmax(dim=1) == targets_N).sum())
                scored += len(targets_N)
        loss, all_right, all_scored = self._group.sum([loss, right, scored])
        return Measurement(loss / max(all_scored, 1), all_right / max(all_scored, 1), int(all_scored))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.model.eval()
        try:
            with uncompiled(self.model):
                yield
        finally:
            self.model.train()

    def _train(self, reporter: Reporter) -> None:
        recipe, progress = self._recipe, self.progress
        began = saved = time.monotonic()
        seconds_before = progress.seconds
        order = self._batches_after(progress.epoch, progress.position)
        batches: list[tuple[int, Batch]] | None = None
        while progress.step < recipe.steps and not (recipe.patience and progress.not_better >= recipe.patience):
            if batches is None:
                batches, last = self._take(progress.step, order)
            counts = self._agree(batches, seconds_before + time.monotonic() - began)
            if self._stop:
                self.save()
                raise Interrupted(f"stopped after step {progress.step} of {recipe.steps}; the state is saved")
            if recipe.max_minutes is not None and progress.seconds >= 60 * recipe.max_minutes:
                return
            share = schedule(recipe, progress.step, progress.seconds / 60)
            loss = self._step(batches, counts, share)
            progress.epoch, progress.position = last.epoch, last.position
            batches, last = self._take(progress.step + 1, order)  # while a GPU is still busy with the step
            value = float(loss)
            if not math.isfinite(value):
                raise DivergedError(
                    f"the loss is {value} at step {progress.step}, learning rate {recipe.learning_rate * share:.2e}: "
                    "lower it, or warm up longer"
                )
            progress.step += 1
            progress.tokens += int(counts[0])
            progress.training_loss += (value - progress.training_loss) * max(0.02, 1 / progress.step)
            progress.seconds = seconds_before + time.monotonic() - began
            reporter.step(value, recipe.learning_rate * share)
            if progress.step % recipe.validate_every == 0:
                self._validate(reporter)
            if time.monotonic() - saved >= recipe.save_every:
                self.save()
                saved = time.monotonic()

    def _take(self, step: int, order: Iterator[Chosen]) -> tuple[list[tuple[int, Batch]], Chosen]:
        """This worker's batches of a step with their places within it, and the step's last one."""
        chosen = list(islice(order, self._recipe.accumulate))
        batches = []
        for index in range(self._group.rank, len(chosen), self._group.size):
            random = np.random.default_rng((self._seed, 1, step, index))
            examples = [self._training.epoch(chosen[index].epoch)[row] for row in chosen[index].rows]
            batches.append((index, self._objective.batch(examples, random).to(self._device)))
        return batches, chosen[-1]

    def _agree(self, batches: list[tuple[int, Batch]], seconds: float) -> list[float]:
        """What all workers have to see alike: the time, whether to stop, and the positions that the step scores in each
        term of the loss, which are returned."""
        first = self._group.rank == 0
        counts = [sum(len(term) for term in terms) for terms in zip(*(b.targets for _, b in batches), strict=True)]
        stop = self._stop or self._group.stop_asked()
        seconds, stopping, *counts_of_all = self._group.sum([seconds if first else 0.0, stop, *counts])
        self.progress.seconds, self._stop = seconds, stopping > 0
        return counts_of_all

    def _step(self, batches: list[tuple[int, Batch]], counts: list[float], share: float) -> Tensor:
        """Move the weights; the loss of the step, over all workers."""
        loss = torch.zeros((), device=self._device)
        for index, batch in batches:
            torch.manual_seed(_seed(self._seed, self.progress.step, index))
            part = self._loss(batch, counts)
            part.backward()
            loss += part.detach()
        gradients = [p.grad for p in self.learned.values() if p.grad is not None]
        self._group.sum_in_place([loss, *gradients])
        clip_gradients(self.learned.values(), self._recipe.clip)
        self._optimizers.step(share)
        self._averaging.update(self.progress.step)
        return loss

    def _loss(self, batch: Batch, counts: list[float]) -> Tensor:
        """A batch's part of the step's. With R-Drop it is read twice, each time with a dropout of its own."""
        readings = []
        for _ in range(2 if self._recipe.r_drop else 1):
            with self._autocast():
                readings.append(self._objective.logits(self.model, batch))
        loss = torch.zeros((), device=self._device)
        weights = batch.weights or (1.0,) * len(counts)
        for term, (targets, count, weight) in enumerate(zip(batch.targets, counts, weights, strict=True)):
            each = [logits[term] for logits in readings]
            for logits_NV in each:
                loss = loss + weight / len(each) * self._cross_entropy(logits_NV, targets, max(count, 1))
            if self._recipe.r_drop:
                loss = loss + weight * self._recipe.r_drop * divergence(*each) / max(count, 1)
        return loss

    def _cross_entropy(self, logits_NV: Tensor, targets: Tensor, count: float) -> Tensor:
        if targets.is_floating_point():  # probabilities, of few outputs
            return F.cross_entropy(logits_NV.float(), targets, reduction="sum") / count
        return smoothed_cross_entropy(logits_NV, targets, self._recipe.label_smoothing, count)

    def _validate(self, reporter: Reporter) -> None:
        progress = self.progress
        self._averaging.collect(progress)
        with self._averaging.in_use():
            measured, began = self.measure(), time.monotonic()
            result, samples = self._answers(measured)
            seconds = time.monotonic() - began
            progress.validated, progress.last = progress.step, result
            if progress.best is None or self._better(result, progress.best):
                progress.best, progress.best_step, progress.not_better = result, progress.step, 0
                if self._recipe.patience:
                    self._averaging.keep_best(progress)
            else:
                progress.not_better += 1
        reporter.validation(result, samples, seconds)

    def _answers(self, result: Measurement) -> tuple[Measurement, tuple[Shown, ...]]:
        """The measurement with its score, and what the model said; the first worker asks it, all know the score."""
        if self._judge is None:
            return result, ()
        score = 0.0
        samples: tuple[Shown, ...] = ()
        if self._group.rank == 0:
            with self._evaluating():
                answers = self._judge(self.model, result.loss, result.accuracy)
            score, samples = math.nan if answers.score is None else answers.score, answers.samples
        (score,) = self._group.sum([score])
        return replace(result, score=None if math.isnan(score) else score), samples

    def _better(self, result: Measurement, best: Measurement) -> bool:
        if self._recipe.patience_by == "loss" or self._judge is None:
            return result.loss < best.loss
        if result.score is None or best.score is None:
            return best.score is None and result.score is not None
        return result.score > best.score if self._judge.higher_is_better else result.score < best.score

    def _autocast(self) -> torch.autocast:
        narrow = number_format(self._recipe.precision, self._device) is torch.bfloat16
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=narrow)


@contextmanager
def on_signals(stop: Callable[[int, object], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call `stop`, while the block lasts. Only the main thread may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _seed(*numbers: int) -> int:
    """One 64-bit number of several, well mixed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
