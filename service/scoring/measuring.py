"""`triptych evaluate` without its command line: reads a file, measures what the checkpoint's task is, shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from models.checkpoint import Checkpoint, FindBase, Manifest, load, read_manifest
from models.precision import Precision
from models.registry import Registry
from models.training.evaluation.fewshot import FewShot, Labelled, Template
from models.training.evaluation.robustness import report as robustness_report
from models.training.evaluation.testfile import TestFile, known_columns, places
from models.training.sections import Format
from service.messages import Decoding
from service.scoring import tables
from service.scoring.answers import EngineAnswers
from service.scoring.evaluating import (
    evaluate_labels,
    evaluate_masked_words,
    evaluate_texts,
    evaluate_translations,
)
from service.scoring.likelihoods import Converted, progress
from service.scoring.recipes import score
from service.scoring.robustness import suite_for, tallies
from service.scoring.steering import load_judge, steer
from service.scoring.training_text import training_text


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Of a few-shot evaluation."""

    counts: tuple[int, ...]  # of examples in the prompt
    template: Template
    words: Mapping[str, str]  # label -> what it is called in the template
    examples: Path | None = None  # None: drawn from the head of the file
    pool: int = 64  # rows of that head
    normalize_length: bool = False


@dataclass(frozen=True, kw_only=True)
class Steering:
    judge: Path  # checkpoint directory of a classifier
    prompts: Mapping[str, str]  # prompt -> the label it is to get
    samples: int  # of each
    decoding: Decoding


@dataclass(frozen=True, kw_only=True)
class Options:
    data: Path | None = None
    columns: tuple[str, ...] = ()
    format: Format | None = None
    limit: int | None = None
    precision: Precision = "auto"
    seed: int = 1
    pairs: tuple[tuple[str, str], ...] = ()  # none: all of the checkpoint's that the columns have
    decoding: Decoding = field(default_factory=lambda: Decoding(num_beams=4))  # of a translator
    tokenize: str | None = None  # None: by the target language
    training_data: Path | None = None  # folder of the files that the checkpoint's recipe was trained on
    worst: int = 5
    label_column: str = ""  # "": label, or what a file without `columns` seems to call it
    labels: Mapping[str, str] = field(default_factory=dict)
    prompt: str = ""
    stride: int | None = None
    shots: Shots | None = None
    steering: Steering | None = None
    suite: Path | None = None  # of robustness
    base: FindBase | None = None  # of a checkpoint that is kept beside one

    @property
    def labelled_by(self) -> str:
        """The column of the labels, as rows have it."""
        return self.label_column or "label"

    @property
    def file(self) -> Path:
        if self.data is None:
            raise ValueError("say what to measure on: --data FILE")
        return self.data

    def read(
        self,
        needed: Sequence[str],
        *,
        optional: Sequence[str] = (),
        known: Mapping[str, Sequence[str]] | None = None,
        documents: bool = False,
    ) -> TestFile:
        """The file to measure on."""
        return TestFile.read(
            self.file,
            needed,
            columns=self.columns,
            format=self.format,
            limit=self.limit,
            optional=optional,
            known=known,
            documents=documents,
        )


def measure_recipe(directory: Path, options: Options, registry: Registry, console: Console) -> dict[str, Any]:
    """Show what `publish` would: the scores on the tests of the checkpoint's recipe, found in the folder of the data.

    Raises as `service.scoring.score`.
    """
    assert options.data is not None
    manifest = read_manifest(directory)
    console.print(
        f"[bold]{manifest.name}@{manifest.version}[/bold], made to {manifest.task}, "
        f"on its recipe's tests in {options.data}"
    )
    found = {
        test: each.scores
        for test, each in score(directory, options.data, registry, console, limit=options.limit).items()
    }
    tables.show_scores(found, console)
    return _record(manifest, options, "float32", found)


def measure(directory: Path, options: Options, console: Console) -> dict[str, Any]:
    """Show what was measured; the scores as plain values.

    Raises CheckpointError, DataError and ConfigError for files, ValueError for settings that the model cannot keep.
    """
    checkpoint = load(directory, base=options.base)
    manifest = checkpoint.manifest
    for what, wanted in (("few-shot evaluation", options.shots), ("steering", options.steering)):
        if wanted is not None and manifest.task != "generate":
            raise ValueError(f"{what} is of a generator; {manifest.name} is made to {manifest.task}")
    console.print(
        f"[bold]{manifest.name}@{manifest.version}[/bold], made to {manifest.task}"
        + (f", on {options.data}" if options.data else "")
    )
    if options.steering is not None:
        scores, precision = _steering(checkpoint, options, options.steering, console)
    elif options.shots is not None:
        scores, precision = _shots(checkpoint, options, options.shots, console)
    elif options.suite is not None:
        scores, precision = _robustness(checkpoint, options, options.suite, console)
    else:
        scores, precision = _BY_TASK[manifest.task](checkpoint, options, console)
    return _record(manifest, options, precision, scores)


def _record(manifest: Manifest, options: Options, precision: str, scores: dict[str, Any]) -> dict[str, Any]:
    return {
        "checkpoint": f"{manifest.name}@{manifest.version}",
        "task": manifest.task,
        "data": str(options.data) if options.data else None,
        "limit": options.limit,
        "precision": precision,
        "scores": scores,
    }


Measured = tuple[dict[str, Any], str]  # scores, and the precision they were computed in


def _translations(checkpoint: Checkpoint, options: Options, console: Console) -> Measured:
    served = checkpoint.manifest.language_pairs
    unknown = [pair for pair in options.pairs if pair not in served]
    if unknown:
        raise ValueError(f"{_name(checkpoint)} does not translate {_listed(unknown)}; it translates {_listed(served)}")
    languages = list(dict.fromkeys(language for pair in served for language in pair))
    columns = [column.partition("=")[0] for column in options.columns]
    if not columns and not options.pairs:
        columns = list(known_columns(options.file, languages, options.format))
    pairs = options.pairs or tuple(pair for pair in served if {*pair} <= {*columns})
    if not options.columns and len(served) == 1:
        pairs = served
    if not pairs:
        raise ValueError(f"say which way to translate with --pair, or what the columns are: {_listed(served)}")
    file = options.read(list(dict.fromkeys(language for pair in pairs for language in pair)))
    _report(file, console)
    folder = options.training_data or options.file.parent
    trained_on = training_text(checkpoint.manifest, folder, console)
    scores = {}
    with EngineAnswers(checkpoint, console, options.precision) as answers:
        decoding = options.decoding
        console.print(f"{answers.info.precision}, {_search(decoding)}")
        for pair in pairs:
            sources, references = file.translations(*pair)
            result = evaluate_translations(
                answers,
                sources,
                references,
                pair=pair,
                decoding=decoding,
                tokenize=options.tokenize,
                far=trained_on.far(*pair, sources, references) if trained_on is not None else None,
                worst=options.worst,
            )
            tables.show_translation(result, console)
            scores["-".join(pair)] = {
                "beams": decoding.num_beams,
                "length_penalty": decoding.length_penalty,
                **result.to_dict(),
            }
        return scores, answers.info.precision


def _robustness(checkpoint: Checkpoint, options: Options, path: Path, console: Console) -> Measured:
    suite = suite_for(checkpoint, path, options.pairs)
    folder = options.training_data
    trained_on = training_text(checkpoint.manifest, folder, console) if folder is not None else None
    with EngineAnswers(checkpoint, console, options.precision) as answers:
        console.print(f"{answers.info.precision}, {_search(options.decoding)}")
        found = tallies(answers, suite, options.decoding, trained_on)
        tables.show_robustness(found, options.worst, console)
        return {"beams": options.decoding.num_beams, **robustness_report(found)}, answers.info.precision


def _labels(checkpoint: Checkpoint, options: Options, console: Console) -> Measured:
    file, rows = _labelled(options, ["text", options.labelled_by], checkpoint.manifest, console)
    with EngineAnswers(checkpoint, console, options.precision) as answers:
        console.print(answers.info.precision)
        result = evaluate_labels(answers, rows)
        tables.show_classification(result, console)
        return {**result.to_dict(), "other_labels": len(file.rows) - len(rows)}, answers.info.precision


def _texts(checkpoint: Checkpoint, options: Options, console: Console) -> Measured:
    known, packed = _known(checkpoint.manifest), _recipe(checkpoint.manifest).get("packing") == "blocks"
    file = options.read(["text", *places(options.prompt)], known=known, documents=packed)
    _report(file, console)
    converted = Converted.of(checkpoint, options.precision)
    console.print(converted.precision + (f", after {options.prompt}" if options.prompt else ""), markup=False)
    result = evaluate_texts(
        converted,
        [row["text"] for row in file.rows],
        console,
        prompts=file.prompts(options.prompt) if options.prompt else None,
        stride=options.stride,
    )
    tables.show_texts(result, console)
    return result.to_dict(), converted.precision


def _masked_words(checkpoint: Checkpoint, options: Options, console: Console) -> Measured:
    file = options.read(["text"], optional=["pair"], known=_known(checkpoint.manifest))
    _report(file, console)
    converted = Converted.of(checkpoint, options.precision)
    console.print(converted.precision)
    rows = [(row["text"], row.get("pair")) for row in file.rows]
    result = evaluate_masked_words(converted, rows, options.seed)
    tables.show_masked_words(result, console)
    return result.to_dict(), converted.precision


_BY_TASK: dict[str, Callable[[Checkpoint, Options, Console], Measured]] = {
    "translate": _translations,
    "classify": _labels,
    "generate": _texts,
    "pretrain": _masked_words,
}


def _shots(checkpoint: Checkpoint, options: Options, shots: Shots, console: Console) -> Measured:
    labels = tuple(dict.fromkeys(options.labels.values())) or tuple(shots.words)
    if len(labels) < 2:
        raise ValueError("say what the labels are with --labels: 0=negative,1=positive")
    unnamed = sorted(set(shots.words) - set(labels))
    if unnamed:
        raise ValueError(f"no label {', '.join(unnamed)} to name: there are {', '.join(labels)}")
    needed = ["text", *(["pair"] if shots.template.has_pair else []), options.labelled_by]
    file = options.read(needed)
    rows = _rows(file, options, options.labels, labels, console)
    if shots.examples is not None:
        source = TestFile.read(shots.examples, needed, columns=options.columns, format=options.format)
        pool = source.labelled(options.labelled_by, options.labels, labels)
    else:
        pool, rows = rows[: shots.pool], rows[shots.pool :]
        if not rows:
            raise ValueError(f"all {len(pool)} rows are examples: give --examples FILE, or a smaller --pool")
    converted = Converted.of(checkpoint, options.precision)
    way = "P(text | label)" if shots.template.channel else "P(label | text)"
    console.print(
        Text(f"{converted.precision}, {way} in {shots.template.pattern!r}, examples drawn from {len(pool):,} rows")
    )
    asker = FewShot(
        model=converted.model,
        tokenizer=checkpoint.tokenizer,
        config=converted.generator_config,
        template=shots.template,
        words={label: shots.words.get(label, label) for label in labels},
        normalize_length=shots.normalize_length,
        seed=options.seed,
    )
    results = []
    for count in shots.counts:
        with progress(console, f"{count} examples") as track:
            results.append(asker.run(rows, pool, count, track(len(rows) * len(labels))))
    tables.show_shots(results, console)
    return {str(result.shots): result.scores for result in results}, converted.precision


def _steering(checkpoint: Checkpoint, options: Options, steering: Steering, console: Console) -> Measured:
    with (
        EngineAnswers(checkpoint, console, options.precision) as generator,
        EngineAnswers(load_judge(steering.judge, options.base), console, options.precision) as judge,
    ):
        decoding = steering.decoding
        kept = {"top_k": decoding.top_k, "top_p": decoding.top_p, "max_new_tokens": decoding.max_new_tokens}
        given = "".join(f", {name} {value}" for name, value in kept.items() if value is not None)
        console.print(f"{generator.info.precision}, temperature {decoding.temperature:g}{given}, seed {decoding.seed}")
        result = steer(generator, judge, steering.prompts, decoding, steering.samples)
        tables.show_steering(result, console)
        settings = {"temperature": decoding.temperature, "seed": decoding.seed, **kept}
        return {**result.to_dict(), "decoding": settings}, generator.info.precision


def _labelled(
    options: Options, needed: Sequence[str], manifest: Manifest, console: Console
) -> tuple[TestFile, list[Labelled]]:
    """Unless it is told what the values mean, they are labels, or mean what they meant in training."""
    learned = {value: label for corpus in _corpora(manifest) for value, label in corpus.get("labels", {}).items()}
    meaning = {value: label for value, label in learned.items() if label in manifest.labels}
    meaning |= {label: label for label in manifest.labels}
    optional = ["pair"] if manifest.takes_pairs else []
    file = options.read(needed, optional=optional, known=_known(manifest))
    return file, _rows(file, options, options.labels or meaning, manifest.labels, console)


def _rows(
    file: TestFile, options: Options, meaning: Mapping[str, str], labels: Sequence[str], console: Console
) -> list[Labelled]:
    _report(file, console)
    rows = file.labelled(options.labelled_by, meaning, labels)
    if len(rows) < len(file.rows):
        console.print(f"{len(file.rows) - len(rows):,} rows have none of the labels: left out")
    return rows


def _recipe(manifest: Manifest) -> Mapping[str, Any]:
    """Of a checkpoint that this project trained; else empty."""
    return manifest.training.get("recipe") or {}


def _corpora(manifest: Manifest) -> list[Mapping[str, Any]]:
    recipe = _recipe(manifest)
    return [corpus for role in ("corpora", "validation", "tests") for corpus in recipe.get(role, ())]


def _known(manifest: Manifest) -> dict[str, list[str]]:
    """What the files that it was trained on called a column."""
    known: dict[str, list[str]] = {}
    for corpus in _corpora(manifest):
        names = corpus.get("names") or {}
        label = corpus.get("label_column", "label")
        for column, name in {**names, "label": names.get(label, label)}.items():
            known.setdefault(column, []).append(name)
    return known


def _report(file: TestFile, console: Console) -> None:
    if file.took:
        console.print(Text(f"columns, with what the file calls them: {file.took}"))
    count, first = file.broken
    if count:
        console.print(Text(f"{count:,} rows cannot be read: left out. {first}", style="yellow"))


def _search(decoding: Decoding) -> str:
    beams = f"beams {decoding.num_beams}, length penalty {decoding.length_penalty:g}"
    return beams if decoding.num_beams > 1 else "greedy"


def _name(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.manifest.name}@{checkpoint.manifest.version}"


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    return ", ".join("-".join(pair) for pair in pairs)
