"""How pre-trained encoders are measured: by the words they guess."""

from __future__ import annotations

from rich.console import Console

from models.checkpoint import TOKENIZER, Checkpoint, Manifest
from models.training.evaluation.scores import Measured, masked_word_scores
from models.training.tasks.pretrain import pretraining_scores
from service.scoring import tables
from service.scoring.answers import Converted
from service.scoring.options import Options, known_names
from service.scoring.tasks.task import Found, MeasuredTask, Scoring


class Pretrain(MeasuredTask):
    name = "pretrain"

    def scores(self, scoring: Scoring) -> dict[str, Measured]:
        converted = Converted.of(scoring.checkpoint, "float32")
        with scoring.run_folder() as folder:
            return pretraining_scores(scoring.recipe, scoring.data, folder, converted.masked_words, scoring.say)

    def measure(self, checkpoint: Checkpoint, options: Options, console: Console) -> Found:
        file = options.read(["text"], console, optional=["pair"], known=known_names(checkpoint.manifest))
        converted = Converted.of(checkpoint, options.precision)
        console.print(converted.precision)
        rows = [(row["text"], row.get("pair")) for row in file.rows]
        found = converted.masked_words(rows, options.seed)
        scores = masked_word_scores(found, len(rows)).scores
        tables.show_masked_words(scores, found.words, console)
        return {**scores, "masked_words": found.words}, converted.precision

    def is_comparable(self, manifest: Manifest, other: Manifest) -> bool:
        """The words of another vocabulary are other ones."""
        return manifest.files[TOKENIZER] == other.files[TOKENIZER]
