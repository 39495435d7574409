"""A checkpoint's outputs for a robustness suite, through the serving engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from models.checkpoint import Checkpoint, load
from models.training.evaluation.robustness import Case, Direction, Tally, read_suite, run_suite
from models.training.recipe import Recipe
from service.messages import Decoding
from service.scoring.answers import EngineAnswers

ROBUSTNESS = "robustness"  # what its scores are called in a manifest, before their direction


def suite_for(checkpoint: Checkpoint, path: Path, chosen: Sequence[Direction] = ()) -> dict[Direction, list[Case]]:
    """The directions of the suite that the checkpoint has, or those `chosen` of them.

    Raises ConfigError for a file that cannot be read, ValueError where there is no direction to run.
    """
    suite, served = read_suite(path), checkpoint.manifest.language_pairs
    missing = [pair for pair in chosen if pair not in suite]
    if missing:
        raise ValueError(f"{path} has no cases for {_listed(missing)}; it has {_listed(list(suite))}")
    found = {pair: cases for pair, cases in suite.items() if pair in (chosen or served)}
    if not found:
        raise ValueError(f"{path} has cases for {_listed(list(suite))}, the checkpoint translates {_listed(served)}")
    return found


def tallies(
    answers: EngineAnswers, suite: Mapping[Direction, Sequence[Case]], decoding: Decoding
) -> dict[Direction, Tally]:
    """A text that the engine refuses because it is empty has no output. Raises ValueError for any other refusal."""

    def answer(texts: Sequence[str], source: str, target: str) -> list[str | None]:
        found = answers.translations(texts, source, target, decoding).each
        return [None if each is None else each.text for each in found]

    return run_suite(suite, answer)


def robustness_scores(directory: Path, path: Path, console: Console) -> dict[str, Any]:
    """As a manifest keeps them, in float32 with each beam width of the recipe: {"robustness fr-en, beam 4": {...}}.

    Raises CheckpointError, RecipeError, ConfigError, and ValueError where nothing of the suite is for the checkpoint.
    """
    checkpoint = load(directory)
    recipe = Recipe.from_dict(checkpoint.manifest.training["recipe"])
    suite = suite_for(checkpoint, path)

    def measured() -> Iterator[tuple[str, dict[str, Any]]]:
        with EngineAnswers(checkpoint, console) as answers:
            for beams in recipe.beams:
                width = f", beam {beams}" if beams > 1 else ""
                for pair, tally in tallies(answers, suite, Decoding(num_beams=beams)).items():
                    yield f"{ROBUSTNESS} {'-'.join(pair)}{width}", tally.to_dict()

    return dict(measured())


def _listed(pairs: Sequence[Direction]) -> str:
    return ", ".join("-".join(pair) for pair in pairs) or "nothing"
