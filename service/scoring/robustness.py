"""A checkpoint's outputs for a robustness suite, through the serving engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from models.checkpoint import Checkpoint, FindBase, load
from models.training.evaluation.robustness import ROBUSTNESS, Tally, run_suite
from models.training.evaluation.suite import Case, Direction, read_suite
from models.training.evaluation.training_text import TrainingText
from service.messages import Decoding
from service.scoring.answers import EngineAnswers
from service.scoring.options import listed, recipe_values, training_text


def suite_for(checkpoint: Checkpoint, path: Path, chosen: Sequence[Direction] = ()) -> dict[Direction, list[Case]]:
    """The directions of the suite that the checkpoint has, or those `chosen` of them.

    Raises ConfigError for a file that cannot be read, ValueError where there is nothing to run.
    """
    manifest = checkpoint.manifest
    if not manifest.language_pairs:
        raise ValueError(f"a robustness suite is of a translator; {manifest.name} is made to {manifest.task}")
    suite, served = read_suite(path), manifest.language_pairs
    for what, known in ((path, [*suite]), (manifest.reference, [*served])):
        unknown = [pair for pair in chosen if pair not in known]
        if unknown:
            raise ValueError(f"{what} does not have {listed(unknown)}; it has {listed(known)}")
    found = {pair: cases for pair, cases in suite.items() if pair in (chosen or served)}
    if not found:
        raise ValueError(f"{path} has cases for {listed(suite)}, the checkpoint translates {listed(served)}")
    return found


def tallies(
    answers: EngineAnswers,
    suite: Mapping[Direction, Sequence[Case]],
    decoding: Decoding,
    trained_on: TrainingText | None = None,
) -> dict[Direction, Tally]:
    """With `trained_on`, which sources are not in it is known, too.

    Raises ValueError where the engine refuses a text for another reason than its being empty or too long.
    """

    def answer(texts: Sequence[str], source: str, target: str) -> list[str | None]:
        found = answers.translations(texts, source, target, decoding).each
        return [None if each is None else each.text for each in found]

    return run_suite(suite, answer, trained_on.unseen if trained_on is not None else None)


def robustness_scores(
    directory: Path, path: Path, console: Console, base: FindBase | None = None, data: Path | None = None
) -> dict[str, Any]:
    """As a manifest keeps them, in float32 with each beam width of its recipe: {"robustness fr-en, beam 4": {...}}.

    `data` is the folder of what the checkpoint was trained on, where the sources that are not in it count apart, too.
    Raises CheckpointError, ConfigError, and ValueError where nothing of the suite is for the checkpoint.
    """
    checkpoint = load(directory, base=base)
    suite = suite_for(checkpoint, path)
    trained_on = training_text(checkpoint.manifest, data, console) if data is not None else None
    scores = {}
    with EngineAnswers(checkpoint, console) as answers:
        for beams in recipe_values(checkpoint.manifest).get("beams", (1,)):
            width = f", beam {beams}" if beams > 1 else ""
            for pair, tally in tallies(answers, suite, Decoding(num_beams=beams), trained_on).items():
                scores[f"{ROBUSTNESS} {'-'.join(pair)}{width}"] = tally.to_dict()
    return scores
