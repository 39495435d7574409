"""`triptych evaluate`. Heavy imports happen inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.commands.terminal import RegistryOption, console, failed
from service.config import SHIPPED_REGISTRY

_FILE, _TRANSLATOR, _GENERATOR = "The file", "A translator", "A generator"
_FEW, _STEERING = "A generator as a classifier", "A generator's samples, judged by a classifier"

CheckpointArgument = Annotated[str, typer.Argument(help="NAME, NAME@VERSION or a checkpoint directory.")]
Data = Annotated[
    Path | None, typer.Option(help="The file to measure on; of a folder, the test files that the recipe names.")
]
TrainingData = Annotated[
    Path | None,
    typer.Option(
        envvar="TRIPTYCH_DATA",
        help="Folder of the files it was trained on, for the far subset; else that of --data.",
        rich_help_panel=_TRANSLATOR,
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16", "int8"], typer.Option(help="To compute in; auto is what would be served.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Read only so many rows, from the head of the file.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the scores there.")]
Columns = Annotated[
    str,
    typer.Option(
        help="In the file's order, where it has no header: fr,en; '_' is not read. Or by name: text=review.",
        rich_help_panel=_FILE,
    ),
]
FormatOption = Annotated[
    Literal["csv", "tsv", "jsonl", "parquet", "text", "anki", "nsmc"] | None,
    typer.Option(help="Where the suffix does not say it.", rich_help_panel=_FILE),
]
LabelColumn = Annotated[
    str, typer.Option(help="With the labels of texts; label, or what the header calls it.", rich_help_panel=_FILE)
]
Labels = Annotated[
    str,
    typer.Option(help="What its values mean: 0=negative,1=positive; other rows are left out.", rich_help_panel=_FILE),
]
Pair = Annotated[
    list[str] | None,
    typer.Option(help="Direction: fr-en. May be given again.", rich_help_panel=_TRANSLATOR),
]
Beams = Annotated[int, typer.Option(min=1, help="Width of the beam search; 1 is greedy.", rich_help_panel=_TRANSLATOR)]
LengthPenalty = Annotated[float, typer.Option(help="Of the beam search.", rich_help_panel=_TRANSLATOR)]
Tokenize = Annotated[
    str,
    typer.Option(help="For BLEU, as sacrebleu names it; else by the target language.", rich_help_panel=_TRANSLATOR),
]
Suite = Annotated[
    Path | None,
    typer.Option(help="Run a robustness suite: its folder, or a direction's file.", rich_help_panel=_TRANSLATOR),
]
Worst = Annotated[int, typer.Option(min=0, help="Show so many of the worst sentences.", rich_help_panel=_TRANSLATOR)]
Prompt = Annotated[
    str, typer.Option(help="Read before each text, not scored: <rating:{rating}>.", rich_help_panel=_GENERATOR)
]
Stride = Annotated[
    int | None,
    typer.Option(min=1, help="Tokens that each further window of a long text scores.", rich_help_panel=_GENERATOR),
]
FewShotOption = Annotated[str, typer.Option(help="Numbers of examples in the prompt: 0,1,4.", rich_help_panel=_FEW)]
Examples = Annotated[
    Path | None, typer.Option(help="File to draw them from; else the head of --data.", rich_help_panel=_FEW)
]
Pool = Annotated[int, typer.Option(min=1, help="Rows of that head; they are not scored.", rich_help_panel=_FEW)]
TemplateOption = Annotated[str, typer.Option(help="How a text and its label are written.", rich_help_panel=_FEW)]
Verbalizers = Annotated[
    str, typer.Option(help="What the labels are called in it: negative=bad,positive=good.", rich_help_panel=_FEW)
]
Channel = Annotated[
    bool, typer.Option("--channel", help="Compare P(text | label), not P(label | text).", rich_help_panel=_FEW)
]
NormalizeLength = Annotated[
    bool, typer.Option("--normalize-length", help="Compare likelihood per token.", rich_help_panel=_FEW)
]
Judge = Annotated[str, typer.Option(help="The classifier, named like CHECKPOINT.", rich_help_panel=_STEERING)]
Prompts = Annotated[
    str,
    typer.Option(
        help="And the label each is to get: <rating:1>=negative,<rating:9>=positive.", rich_help_panel=_STEERING
    ),
]
Samples = Annotated[int, typer.Option(min=1, help="For each prompt.", rich_help_panel=_STEERING)]
Temperature = Annotated[float, typer.Option(rich_help_panel=_STEERING)]
TopK = Annotated[int | None, typer.Option(rich_help_panel=_STEERING)]
TopP = Annotated[float | None, typer.Option(rich_help_panel=_STEERING)]
MaxNewTokens = Annotated[int | None, typer.Option(rich_help_panel=_STEERING)]


def evaluate(
    checkpoint: CheckpointArgument,
    data: Data = None,
    registry: RegistryOption = SHIPPED_REGISTRY,
    precision: PrecisionOption = "auto",
    limit: Limit = None,
    seed: Seed = 1,
    json_file: Json = None,
    columns: Columns = "",
    format: FormatOption = None,
    label_column: LabelColumn = "",
    labels: Labels = "",
    pair: Pair = None,
    beams: Beams = 4,
    length_penalty: LengthPenalty = 1.0,
    tokenize: Tokenize = "",
    training_data: TrainingData = None,
    worst: Worst = 5,
    suite: Suite = None,
    prompt: Prompt = "",
    stride: Stride = None,
    few_shot: FewShotOption = "",
    examples: Examples = None,
    pool: Pool = 64,
    template: TemplateOption = "{text} → {label}",
    verbalizers: Verbalizers = "",
    channel: Channel = False,
    normalize_length: NormalizeLength = False,
    judge: Judge = "",
    prompts: Prompts = "",
    samples: Samples = 200,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    max_new_tokens: MaxNewTokens = None,
) -> None:
    """Measure a checkpoint on any file, through the serving engine.

    A translator: BLEU and chrF; with --suite how it takes what people type. A classifier: accuracy, macro F1,
    calibration. A generator: perplexity and bits per byte; with --few-shot how well it classifies; with --judge whether
    its samples are what their prompts ask for.
    """
    from models.checkpoint import CheckpointError
    from models.config import ConfigError
    from models.registry import Registry, RegistryError
    from models.training.evaluation.fewshot import Template
    from service.messages import Decoding
    from service.scoring.measuring import measure, measure_recipe
    from service.scoring.options import JudgedPrompts, Options, Shots

    if bool(judge) != bool(prompts):
        raise failed("--judge and --prompts belong together: a classifier, and what to ask the generator for")
    if judge and few_shot:
        raise failed("--judge and --few-shot are two evaluations: ask for one at a time")
    if suite is not None and data is not None:
        raise failed("--suite and --data are two evaluations: ask for one at a time")
    try:
        checkpoints = Registry(registry)
        shots = steering = None
        if few_shot:
            shots = Shots(
                counts=_counts(few_shot),
                template=Template(template, channel),
                words=_mapping("--verbalizers", verbalizers),
                examples=examples,
                pool=pool,
                normalize_length=normalize_length,
            )
        if judge:
            sampling = Decoding(
                do_sample=True,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                max_new_tokens=max_new_tokens,
                seed=seed,
            )
            steering = JudgedPrompts(
                judge=checkpoints.resolve(judge),
                prompts=_mapping("--prompts", prompts),
                samples=samples,
                decoding=sampling,
            )
        options = Options(
            data=data,
            columns=tuple(_parts(columns)),
            format=format,
            limit=limit,
            precision=precision,
            seed=seed,
            pairs=tuple(_pair(each) for each in pair or ()),
            decoding=Decoding(num_beams=beams, length_penalty=length_penalty),
            tokenize=tokenize or None,
            training_data=training_data,
            worst=worst,
            label_column=label_column,
            labels=_mapping("--labels", labels),
            prompt=prompt,
            stride=stride,
            shots=shots,
            steering=steering,
            suite=suite,
            base=checkpoints.base,
        )
        directory = checkpoints.resolve(checkpoint)
        if data is not None and data.is_dir():
            found = measure_recipe(directory, options, checkpoints, console)
        else:
            found = measure(directory, options, console)
        if json_file is not None:
            json_file.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except (OSError, CheckpointError, ConfigError, RegistryError, ValueError) as error:
        raise failed(str(error)) from error


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _mapping(option: str, text: str) -> dict[str, str]:
    """`a=b,c=d`; the last equals sign of a part counts. Raises ValueError."""
    found = {}
    for part in _parts(text):
        name, equals, value = part.rpartition("=")
        if not (equals and name.strip() and value.strip()):
            raise ValueError(f"{option}: {part!r} is not of the form name=value")
        found[name.strip()] = value.strip()
    return found


def _pair(text: str) -> tuple[str, str]:
    source, dash, target = text.partition("-")
    if not (source and dash and target):
        raise ValueError(f"--pair {text!r} is not of the form source-target, such as fr-en")
    return source, target


def _counts(text: str) -> tuple[int, ...]:
    parts = _parts(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise ValueError(f"--few-shot {text!r} is not of the form 0,1,4")
    return tuple(map(int, parts))
