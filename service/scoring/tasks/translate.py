"""How translators are measured: BLEU and chrF, and how they take what people type."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rich.console import Console

from models.checkpoint import Checkpoint
from models.training.evaluation.robustness import report
from models.training.evaluation.scores import Measured
from models.training.evaluation.testfile import known_columns
from models.training.tasks.translate import translation_scores
from service.messages import Decoding
from service.scoring import tables
from service.scoring.answers import EngineAnswers
from service.scoring.evaluating import evaluate_translations
from service.scoring.options import Options, listed, training_text
from service.scoring.robustness import suite_for, tallies
from service.scoring.tasks.task import Found, MeasuredTask, Scoring


class Translate(MeasuredTask):
    name = "translate"
    evaluations = {"suite": "a robustness suite"}  # noqa: RUF012

    def scores(self, scoring: Scoring) -> dict[str, Measured]:
        recipe, data, console = scoring.recipe, scoring.data, scoring.console
        trained_on = training_text(scoring.checkpoint.manifest, data, console) if scoring.is_own else None
        with EngineAnswers(scoring.checkpoint, console) as answers:
            return translation_scores(recipe, data, partial(_answer, scoring, answers), trained_on)

    def measure(self, checkpoint: Checkpoint, options: Options, console: Console) -> Found:
        return (_on_file if options.suite is None else _robustness)(checkpoint, options, console)


def _answer(
    scoring: Scoring, answers: EngineAnswers, texts: Sequence[str], source: str, target: str, beams: int
) -> list[str] | None:
    if not scoring.is_own and (source, target) not in scoring.checkpoint.manifest.language_pairs:
        return None
    found = answers.translations(texts, source, target, Decoding(num_beams=beams))
    return [answer.text if answer else "" for answer in (found.all() if scoring.is_own else found.each)]


def _on_file(checkpoint: Checkpoint, options: Options, console: Console) -> Found:
    served = checkpoint.manifest.language_pairs
    unknown = [pair for pair in options.pairs if pair not in served]
    if unknown:
        raise ValueError(
            f"{checkpoint.manifest.reference} does not translate {listed(unknown)}; it translates {listed(served)}"
        )
    languages = list(dict.fromkeys(language for pair in served for language in pair))
    columns = [column.partition("=")[0] for column in options.columns]
    if not columns and not options.pairs:
        columns = list(known_columns(options.file, languages, options.format))
    pairs = options.pairs or tuple(pair for pair in served if {*pair} <= {*columns})
    if not options.columns and len(served) == 1:
        pairs = served
    if not pairs:
        raise ValueError(f"say which way to translate with --pair, or what the columns are: {listed(served)}")
    file = options.read(list(dict.fromkeys(language for pair in pairs for language in pair)), console)
    folder = options.training_data or options.file.parent
    trained_on = training_text(checkpoint.manifest, folder, console)
    scores = {}
    with EngineAnswers(checkpoint, console, options.precision) as answers:
        console.print(f"{answers.info.precision}, {_search(options.decoding)}")
        how = {"beams": options.decoding.num_beams, "length_penalty": options.decoding.length_penalty}
        for pair in pairs:
            result = evaluate_translations(answers, file, pair, trained_on, options)
            tables.show_translation(result, console)
            scores["-".join(pair)] = {**how, **result.to_dict()}
        return scores, answers.info.precision


def _robustness(checkpoint: Checkpoint, options: Options, console: Console) -> Found:
    assert options.suite is not None, "asked for"
    suite = suite_for(checkpoint, options.suite, options.pairs)
    folder = options.training_data
    trained_on = training_text(checkpoint.manifest, folder, console) if folder is not None else None
    with EngineAnswers(checkpoint, console, options.precision) as answers:
        console.print(f"{answers.info.precision}, {_search(options.decoding)}")
        found = tallies(answers, suite, options.decoding, trained_on)
        tables.show_robustness(found, options.worst, console)
        return {"beams": options.decoding.num_beams, **report(found)}, answers.info.precision


def _search(decoding: Decoding) -> str:
    beams = f"beams {decoding.num_beams}, length penalty {decoding.length_penalty:g}"
    return beams if decoding.num_beams > 1 else "greedy"
