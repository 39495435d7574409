"""The scores a checkpoint is published with: on its recipe's own tests, by the serving engine in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from models.checkpoint import load
from models.registry import Registry
from models.training.data.blocked import BlockedWords
from models.training.evaluation.recipes import (
    Answered,
    classification_scores,
    generation_scores,
    pretraining_scores,
    translation_scores,
)
from models.training.recipe import Recipe
from service.messages import Decoding
from service.scoring.answers import EngineAnswers
from service.scoring.likelihoods import Converted
from service.scoring.steering import load_judge, steer


def score(directory: Path, data: Path, registry: Registry, console: Console) -> dict[str, Any]:
    """By test file. `data` is the folder whose files the checkpoint's recipe names, `registry` has a generator's judge.

    Raises CheckpointError, RecipeError, DataError, RegistryError, and ValueError where the engine cannot answer a text.
    """

    def say(line: str) -> None:
        console.print(line, markup=False)

    checkpoint = load(directory)
    task = checkpoint.manifest.task
    recipe = Recipe.from_dict(checkpoint.manifest.training["recipe"])
    if task in ("generate", "pretrain"):
        # No answers of the engine are needed: what is measured is the likelihood of given words.
        converted = Converted.of(checkpoint, "float32")
        with _run_folder(directory) as folder:
            if task == "pretrain":
                return pretraining_scores(recipe, data, folder, converted.masked_words, say)
            found = generation_scores(recipe, data, folder, lambda texts: converted.texts(texts, console), say)
        return found if recipe.steering is None else {**found, **_steering(directory, recipe, registry, console)}
    with EngineAnswers(checkpoint, console) as answers:

        def translate(texts: Sequence[str], source: str, target: str, beams: int) -> list[str]:
            found = answers.translations(texts, source, target, Decoding(num_beams=beams))
            return [answer.text for answer in found.all()]

        def classify(texts: Sequence[str], pairs: Sequence[str | None]) -> list[Answered]:
            return [Answered(*answer.scores[0]) for answer in answers.classifications(texts, pairs).all()]

        if task == "translate":
            return translation_scores(recipe, data, translate)
        return classification_scores(recipe, data, classify)


def _steering(directory: Path, recipe: Recipe, registry: Registry, console: Console) -> dict[str, Any]:
    steering = recipe.steering
    assert steering is not None
    decoding = Decoding(do_sample=True, temperature=steering.temperature, top_p=steering.top_p, seed=recipe.seed)
    with (
        EngineAnswers(load(directory), console) as generator,
        EngineAnswers(load_judge(registry.resolve(steering.judge)), console) as judge,
    ):
        found = steer(generator, judge, steering.prompts, decoding, steering.samples)
    score = {
        "agreement": round(found.share, 4),
        **_clean(recipe, found.texts),
        "samples": found.samples,
        "judge": found.judge,
        "asked": ", ".join(f"{prompt}={label}" for prompt, label in steering.prompts.items()),
        "decoding": f"temperature {steering.temperature:g}, top_p {steering.top_p:g}",
    }
    return {"steering": score}


def _clean(recipe: Recipe, texts: Sequence[str]) -> dict[str, float]:
    """The share of samples with no word that the recipe leaves out of training, where it leaves out some."""
    rules = recipe.cleaning
    if not rules.blocked:
        return {}
    blocked = BlockedWords(rules.blocked, rules.allowed)
    return {"clean": round(sum(text not in blocked for text in texts) / len(texts), 4)}


@contextmanager
def _run_folder(checkpoint: Path) -> Iterator[Path]:
    """The folder of the run that made the checkpoint, where its data lies ready; one for the while if it is gone."""
    if (checkpoint.parent / "tokenizer.json").is_file():
        yield checkpoint.parent
        return
    with tempfile.TemporaryDirectory(prefix="triptych-scores-") as folder:
        yield Path(folder)
