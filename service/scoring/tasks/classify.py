"""How classifiers are measured: accuracy, macro F1, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rich.console import Console

from models.checkpoint import Checkpoint
from models.training.evaluation.scores import Answered, Measured
from models.training.tasks.classify import classification_scores
from service.scoring import tables
from service.scoring.answers import EngineAnswers
from service.scoring.evaluating import evaluate_labels
from service.scoring.options import Options, corpora_of, known_names, labelled_rows
from service.scoring.tasks.task import Found, MeasuredTask, Scoring


class Classify(MeasuredTask):
    name = "classify"

    def scores(self, scoring: Scoring) -> dict[str, Measured]:
        with EngineAnswers(scoring.checkpoint, scoring.console) as answers:
            return classification_scores(scoring.recipe, scoring.data, partial(_answer, scoring, answers))

    def measure(self, checkpoint: Checkpoint, options: Options, console: Console) -> Found:
        manifest = checkpoint.manifest
        # Unless it is told what the values mean, they are labels, or mean what they meant in training.
        learned = {value: label for corpus in corpora_of(manifest) for value, label in corpus.get("labels", {}).items()}
        meaning = {value: label for value, label in learned.items() if label in manifest.labels}
        meaning |= {label: label for label in manifest.labels}
        needed, optional = ["text", options.label_column], ["pair"] if manifest.takes_pairs else []
        file = options.read(needed, console, optional=optional, known=known_names(manifest))
        rows = labelled_rows(file, options, options.labels or meaning, manifest.labels, console)
        with EngineAnswers(checkpoint, console, options.precision) as answers:
            console.print(answers.info.precision)
            result = evaluate_labels(answers, rows)
            tables.show_classification(result, console)
            return {**result.to_dict(), "other_labels": len(file.rows) - len(rows)}, answers.info.precision


def _answer(
    scoring: Scoring, answers: EngineAnswers, texts: Sequence[str], pairs: Sequence[str | None]
) -> list[Answered]:
    found = answers.classifications(texts, pairs)
    nothing = Answered("", 0.0)
    return [Answered(*a.scores[0]) if a else nothing for a in (found.all() if scoring.is_own else found.each)]
