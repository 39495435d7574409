"""The training loop: one model, one objective, examples in, trained weights out. Resumes exactly where it was stopped.

Each step's randomness (dropout, masks) comes from the seed and the step's number, and the order of the batches from
the seed and the epoch's, so nothing but the weights, the moments and the counters has to be kept.

Knows nothing of files to read, tokenizers or tasks.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training.data import Example, plan_batches
from models.training.fast import smoothed_cross_entropy, use_byte_dropout
from models.training.objectives import Batch, Objective
from models.training.optimizer import build_optimizer, learning_rate
from models.training.progress import TrainingDisplay
from models.training.recipe import Training
from models.training.state import Progress, latest_state, load_state, save_state


class Interrupted(Exception):
    """The run was asked to stop (SIGTERM, SIGINT); its state is saved."""


class DivergedError(Exception):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Measurement:
    """Over all scored positions of the validation examples, with the weights that would be published."""

    loss: float  # nats per scored position, without label smoothing
    accuracy: float  # share of positions where the best output is the right one
    scored: int


class Trainer:
    """`objective_at(step)` is what step number `step` is trained on; `measured` what validation measures."""

    def __init__(
        self,
        name: str,
        model: nn.Module,
        recipe: Training,
        *,
        objective_at: Callable[[int], Objective],
        measured: Objective,
        training: Sequence[Example],
        validation: Sequence[Example],
        directory: Path,
        recipe_hash: str,
        seed: int,
        device: torch.device,
    ) -> None:
        if device.type == "cpu":
            use_byte_dropout(model)
        self.model, self._recipe, self._device = model.to(device), recipe, device
        self._name, self._directory, self._recipe_hash, self._seed = name, directory, recipe_hash, seed
        self._objective_at, self._measured = objective_at, measured
        self._training, self._validation = training, validation
        self._optimizer = build_optimizer(model, recipe)
        self._average: dict[str, Tensor] | None = None
        if recipe.average_decay:
            self._average = {name: p.detach().clone() for name, p in model.named_parameters()}
        self._stop = False
        self.progress = Progress()

    def resume(self) -> bool:
        """Take up the latest saved state, if there is one. Raises ResumeError."""
        state = latest_state(self._directory)
        if state is not None:
            self.progress = load_state(state, self._recipe_hash, self.model, self._average, self._optimizer)
        return state is not None

    def run(self) -> Measurement:
        """Train to the end of the budget; the model is left with the weights to publish. Raises Interrupted."""
        self.model.train()
        recipe, progress = self._recipe, self.progress
        sat_down, seconds_before = time.monotonic(), progress.seconds
        saved, tokens_before = time.monotonic(), progress.tokens
        smooth_loss = None
        with TrainingDisplay(self._name, recipe.steps) as display, self._signals():
            for batch in self._batches():
                rate = learning_rate(recipe, progress.step, progress.seconds / 60)
                loss = self._step(batch, rate)
                smooth_loss = loss if smooth_loss is None else 0.98 * smooth_loss + 0.02 * loss
                progress.step += 1
                progress.position += 1
                progress.tokens += len(batch.targets_N)
                now = time.monotonic()
                progress.seconds = seconds_before + now - sat_down
                display.update(
                    progress.step,
                    loss=smooth_loss,
                    tokens_per_second=(progress.tokens - tokens_before) / (now - sat_down),
                    rate=rate,
                    seconds_left=self._seconds_left(),
                )
                if progress.step % recipe.validate_every == 0:
                    display.say(self._log(self.measure(), smooth_loss))
                if now - saved >= recipe.save_every or self._stop:
                    self.save()
                    saved = time.monotonic()
                if self._stop:
                    raise Interrupted(f"stopped after step {progress.step} of {recipe.steps}; the state is saved")
            self.save()
            result = self.measure()
            display.say(f"done. {self._log(result, smooth_loss)}")
        if self._average is not None:
            self._swap_average()
        return result

    def save(self) -> None:
        save_state(self._directory, self.progress, self._recipe_hash, self.model, self._average, self._optimizer)

    @torch.no_grad()
    def measure(self) -> Measurement:
        loss, right, scored = 0.0, 0, 0
        self.model.eval()
        with self._averaged():
            for batch in self._validation_batches():
                with self._autocast():
                    logits_NV = self._measured.logits(self.model, batch).float()
                loss += float(F.cross_entropy(logits_NV, batch.targets_N, reduction="sum"))
                right += int((logits_NV.argmax(dim=1) == batch.targets_N).sum())
                scored += len(batch.targets_N)
        self.model.train()
        return Measurement(loss / scored, right / scored, scored)

    def _step(self, batch: Batch, rate: float) -> float:
        step = self.progress.step
        torch.manual_seed(self._seed * 1_000_003 + step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with self._autocast():
            logits_NV = self._objective_at(step).logits(self.model, batch)
        loss = smoothed_cross_entropy(logits_NV, batch.targets_N, self._recipe.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self._recipe.clip)
        self._optimizer.step()
        if self._average is not None:
            # The first steps' weights are far off: let the average forget them fast (Martin et al.'s tf.train rule).
            decay = min(self._recipe.average_decay, (1 + step) / (10 + step))
            with torch.no_grad():
                for name, parameter in self.model.named_parameters():
                    self._average[name].lerp_(parameter, 1 - decay)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(
                f"the loss is {value} at step {step}, learning rate {rate:.2e}: lower it, or warm up longer"
            )
        return value

    def _batches(self) -> Iterator[Batch]:
        """The batches still to come within the budget."""
        progress, recipe = self.progress, self._recipe
        sizes = self._objective_at(0).sizes(self._training)
        while True:
            plan = plan_batches(sizes, recipe.batch_tokens, self._seed, progress.epoch)
            while progress.position < len(plan):
                out_of_time = recipe.max_minutes is not None and progress.seconds >= 60 * recipe.max_minutes
                if progress.step >= recipe.steps or out_of_time:
                    return
                examples = [self._training[index] for index in plan[progress.position]]
                random = np.random.default_rng((self._seed, 1, progress.step))
                yield self._objective_at(progress.step).batch(examples, random).to(self._device)
            progress.epoch, progress.position = progress.epoch + 1, 0

    def _validation_batches(self) -> Iterator[Batch]:
        random = np.random.default_rng(self._seed)
        for chosen in plan_batches(self._measured.sizes(self._validation), self._recipe.batch_tokens, self._seed, 0):
            yield self._measured.batch([self._validation[index] for index in chosen], random).to(self._device)

    def _seconds_left(self) -> float:
        progress, recipe = self.progress, self._recipe
        left = (recipe.steps - progress.step) * progress.seconds / progress.step
        return left if recipe.max_minutes is None else min(left, 60 * recipe.max_minutes - progress.seconds)

    def _log(self, result: Measurement, training_loss: float | None) -> str:
        entry = {**asdict(self.progress), "training_loss": training_loss, **asdict(result)}
        with (self._directory / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        return f"step {self.progress.step:,}: validation loss {result.loss:.4f}, accuracy {result.accuracy:.4f}"

    def _autocast(self) -> torch.autocast:
        """bfloat16 where the hardware computes in it; elsewhere it would only be slower."""
        gpu = self._device.type == "cuda"
        native = torch.cuda.is_bf16_supported() if gpu else torch.cpu._is_avx512_bf16_supported()
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=native)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The model with its averaged weights, if it has them."""
        if self._average is None:
            yield
            return
        self._swap_average()
        try:
            yield
        finally:
            self._swap_average()

    def _swap_average(self) -> None:
        assert self._average is not None
        for name, parameter in self.model.named_parameters():
            parameter.data, self._average[name] = self._average[name], parameter.data

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the run after the current step. Only the main thread may set handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: object) -> None:
            self._stop = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
