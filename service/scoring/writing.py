"""Teachers who write columns of training text, through the serving engine: batches and beams as in a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from models.checkpoint import FindBase, load
from models.ensemble import together
from models.training.data.written import Writer
from models.training.sections import Distillation
from service.messages import Decoding
from service.scoring.answers import EngineAnswers


@contextmanager
def hire_writer(teachers: Sequence[Path], wanted: Distillation, base: FindBase | None = None) -> Iterator[Writer]:
    """`base` finds what a teacher is kept beside.

    Raises CheckpointError, and ConfigError where the teachers cannot answer as one.
    """
    decoding = Decoding(num_beams=wanted.beams, length_penalty=wanted.length_penalty)
    checkpoint = together([load(teacher, base=base) for teacher in teachers])
    with EngineAnswers(checkpoint, Console(quiet=True), "auto") as answers:

        def write(texts: Sequence[str], direction: tuple[str, str]) -> list[str]:
            completions = answers.translations(texts, *direction, decoding).each
            # What did not end of itself is a loop, or half a text.
            return [c.text if c is not None and c.finish_reason == "eos_token" else "" for c in completions]

        yield write
