"""The scores a checkpoint is published with: on its recipe's own tests, by the serving engine in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from models.checkpoint import TOKENIZER, Checkpoint, Manifest, load, read_manifest
from models.registry import Registry
from models.training.data.blocked import BlockedWords
from models.training.evaluation.recipes import (
    Answered,
    Measured,
    classification_scores,
    generation_scores,
    pretraining_scores,
    translation_scores,
)
from models.training.evaluation.resampling import Share
from models.training.evaluation.training_text import TrainingText
from models.training.recipe import Recipe
from models.training.sections import Corpus, Steering
from service.messages import Decoding
from service.scoring.answers import EngineAnswers
from service.scoring.likelihoods import Converted
from service.scoring.steering import load_judge, steer
from service.scoring.training_text import training_text


def score(
    directory: Path, data: Path, registry: Registry, console: Console, *, limit: int | None = None
) -> dict[str, Measured]:
    """By test. `data` is the folder whose files the checkpoint's recipe names, `registry` has a generator's judge.

    Only the first `limit` rows of each test file are read. Raises CheckpointError, RecipeError, DataError,
    RegistryError, and ValueError where the engine cannot answer a text.
    """
    checkpoint = load(directory, base=registry.base)
    recipe = _recipe_of(checkpoint.manifest)
    if limit is not None:
        recipe = replace(recipe, tests=tuple(_shortened(corpus, limit) for corpus in recipe.tests))
    trained_on = training_text(checkpoint.manifest, data, console) if recipe.task == "translate" else None
    return _Scoring(directory, checkpoint, recipe, directory, data, registry, console).run(trained_on)


def score_alike(
    current: Path, directory: Path, data: Path, registry: Registry, console: Console
) -> dict[str, Measured]:
    """What the checkpoint `current` gets on the tests of the one in `directory`, text by text in the same order.

    It has no score on directions that it does not translate. A text that is too long for it is answered with nothing.
    Raises as `score`.
    """
    checkpoint = load(current, base=registry.base)
    new = read_manifest(directory)
    if new.task == "pretrain" and checkpoint.manifest.files[TOKENIZER] != new.files[TOKENIZER]:
        return {}  # its words are other ones
    return _Scoring(current, checkpoint, _recipe_of(new), directory, data, registry, console).run(None)


def _recipe_of(manifest: Manifest) -> Recipe:
    """Raises ValueError where there is none."""
    if "recipe" not in manifest.training:
        raise ValueError(f"{manifest.name} was made by no recipe, which would say what it is tested on: give --scores")
    return Recipe.from_dict(manifest.training["recipe"])


def _shortened(corpus: Corpus, limit: int) -> Corpus:
    return replace(corpus, limit=limit if corpus.limit is None else min(limit, corpus.limit))


def _say(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, markup=False)


@dataclass(frozen=True)
class _Scoring:
    """One checkpoint on the tests of a recipe, its own or that of the checkpoint it is compared with."""

    directory: Path
    checkpoint: Checkpoint  # of `directory`, loaded
    recipe: Recipe
    owner: Path  # the directory of the checkpoint that the recipe made
    data: Path
    registry: Registry
    console: Console

    def run(self, trained_on: TrainingText | None) -> dict[str, Measured]:
        task, recipe = self.checkpoint.manifest.task, self.recipe
        if task != recipe.task:
            raise ValueError(f"{self.checkpoint.manifest.name} is made to {task}, the tests are to {recipe.task}")
        if task in ("generate", "pretrain"):
            # No answers of the engine are needed: what is measured is the likelihood of given words.
            converted, console = Converted.of(self.checkpoint, "float32"), self.console
            with _run_folder(self.owner) as folder:
                if task == "pretrain":
                    return pretraining_scores(recipe, self.data, folder, converted.masked_words, _say(console))
                found = generation_scores(
                    recipe, self.data, folder, lambda texts: converted.texts(texts, console), _say(console)
                )
            return found if recipe.steering is None else {**found, "steering": self._steering(recipe.steering)}
        with EngineAnswers(self.checkpoint, self.console) as answers:
            if task == "translate":
                return translation_scores(recipe, self.data, partial(self._translate, answers), trained_on)
            return classification_scores(recipe, self.data, partial(self._classify, answers))

    def _translate(
        self, answers: EngineAnswers, texts: Sequence[str], source: str, target: str, beams: int
    ) -> list[str] | None:
        if not self._own and (source, target) not in self.checkpoint.manifest.language_pairs:
            return None
        found = answers.translations(texts, source, target, Decoding(num_beams=beams))
        return [answer.text if answer else "" for answer in (found.all() if self._own else found.each)]

    def _classify(self, answers: EngineAnswers, texts: Sequence[str], pairs: Sequence[str | None]) -> list[Answered]:
        found = answers.classifications(texts, pairs)
        nothing = Answered("", 0.0)
        return [Answered(*a.scores[0]) if a else nothing for a in (found.all() if self._own else found.each)]

    @property
    def _own(self) -> bool:
        return self.directory == self.owner

    def _steering(self, steering: Steering) -> Measured:
        decoding = Decoding(
            do_sample=True, temperature=steering.temperature, top_p=steering.top_p, seed=self.recipe.seed
        )
        with (
            EngineAnswers(load(self.directory, base=self.registry.base), self.console) as generator,
            EngineAnswers(load_judge(self.registry.resolve(steering.judge), self.registry.base), self.console) as judge,
        ):
            found = steer(generator, judge, steering.prompts, decoding, steering.samples)
        score = {
            "agreement": round(found.share, 4),
            **_clean(self.recipe, found.texts),
            "intervals": {"agreement": [round(bound, 4) for bound in found.interval]},
            "samples": found.samples,
            "judge": found.judge,
            "asked": ", ".join(f"{prompt}={label}" for prompt, label in steering.prompts.items()),
            "decoding": f"temperature {steering.temperature:g}, top_p {steering.top_p:g}",
        }
        return Measured(score, ("agreement", Share(found.right_each)))


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
