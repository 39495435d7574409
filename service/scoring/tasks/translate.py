"""How translators are measured: BLEU and chrF, and how they take what people type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from models.checkpoint import Checkpoint, FindBase, load
from models.training.evaluation.robustness import ROBUSTNESS, Tally, report, run_suite
from models.training.evaluation.scores import Measured, Written
from models.training.evaluation.suite import Case, Direction, read_suite
from models.training.evaluation.testfile import known_columns
from models.training.evaluation.training_text import TrainingText
from models.training.tasks.translate import translation_scores
from service.messages import Completion, Decoding
from service.scoring import tables
from service.scoring.answers import EngineAnswers
from service.scoring.evaluating import evaluate_translations
from service.scoring.options import Options, listed, recipe_values, training_text
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
) -> list[Written] | None:
    if not scoring.is_own and (source, target) not in scoring.checkpoint.manifest.language_pairs:
        return None
    found = answers.translations(texts, source, target, Decoding(num_beams=beams), confidence=True)
    return [_written(answer) for answer in (found.all() if scoring.is_own else found.each)]


def _written(answer: Completion | None) -> Written:
    if answer is None or answer.confidence is None:
        return Written("" if answer is None else answer.text)
    return Written(answer.text, answer.confidence.logprob)


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
