"""A checkpoint's own likelihood of texts, on the model as the engine has it: converted to the same precision.

Likelihood is a matter of the model alone: nothing is generated, so the engine's batching has no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console

from models.checkpoint import Checkpoint
from models.config import Config
from models.precision import Precision, convert, resolve_device, resolve_precision
from models.training.evaluation.likelihood import Likelihood, MaskedWords, masked_words, text_likelihood
from service.scoring.answers import progress


@dataclass(frozen=True)
class Converted:
    """Takes the checkpoint's model over."""

    checkpoint: Checkpoint
    model: Any
    precision: Precision

    @classmethod
    def of(cls, checkpoint: Checkpoint, precision: Precision) -> Self:
        """Raises ValueError for a precision that the machine lacks."""
        where = resolve_device("auto")
        chosen, _ = resolve_precision(precision, where)
        return cls(checkpoint, convert(checkpoint.model, chosen, where)[0], chosen)

    def texts(
        self, texts: Sequence[str], console: Console, prompts: Sequence[str] | None = None, stride: int | None = None
    ) -> Likelihood:
        """Raises ValueError where the checkpoint is no generator."""
        tokenizer, config = self.checkpoint.tokenizer, self.generator_config
        with progress(console, "likelihood") as track:
            return text_likelihood(self.model, tokenizer, config, texts, prompts, stride=stride, track=track)

    def masked_words(self, texts: Sequence[tuple[str, str | None]], seed: int) -> MaskedWords:
        tokenizer, config = self.checkpoint.tokenizer, self.checkpoint.config
        assert config.kind == "encoder", "only an encoder guesses words"
        return masked_words(self.model, tokenizer, config, texts, seed=seed)

    @property
    def generator_config(self) -> Config:
        config, manifest = self.checkpoint.config, self.checkpoint.manifest
        if config.kind != "decoder":
            raise ValueError(f"{manifest.name} is made to {manifest.task}, only a generator tells how likely a text is")
        return config
