"""`triptych evaluate`. Heavy imports happen inside."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.commands.terminal import FormatName, RegistryOption, console, failed, parts_of, plainly
from service.config import SHIPPED_REGISTRY

_of_file = partial(typer.Option, rich_help_panel="The file")
_of_translator = partial(typer.Option, rich_help_panel="A translator")
_of_generator = partial(typer.Option, rich_help_panel="A generator")
_of_shots = partial(typer.Option, rich_help_panel="A generator as a classifier")
_of_steering = partial(typer.Option, rich_help_panel="A generator's samples, judged by a classifier")


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or a checkpoint directory.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="The file to measure on; of a folder, the test files that the recipe names.", show_default="none"
        ),
    ] = None,
    registry: RegistryOption = SHIPPED_REGISTRY,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "int8"],
        typer.Option(help="To compute in; auto is what would be served."),
    ] = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Read only so many rows, from the head of the file.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the scores there.", show_default="nowhere")
    ] = None,
    columns: Annotated[
        str,
        _of_file(
            help="In the file's order, where it has no header: fr,en; '_' is not read. Or by name: text=review.",
            show_default="the header's",
        ),
    ] = "",
    format: Annotated[FormatName | None, _of_file(help="Of the file.", show_default="as its suffix says")] = None,
    label_column: Annotated[str, _of_file(help="With the labels of texts.", show_default="label")] = "",
    labels: Annotated[
        str,
        _of_file(
            help="What its values mean: 0=negative,1=positive; other rows are left out.", show_default="themselves"
        ),
    ] = "",
    pair: Annotated[
        list[str] | None,
        _of_translator(help="Direction: fr-en. May be given again.", show_default="those that the file has"),
    ] = None,
    beams: Annotated[int, _of_translator(min=1, help="Width of the beam search; 1 is greedy.")] = 4,
    length_penalty: Annotated[float, _of_translator(help="Of the beam search.")] = 1.0,
    tokenize: Annotated[
        str, _of_translator(help="For BLEU, as sacrebleu names it.", show_default="by the target language")
    ] = "",
    training_data: Annotated[
        Path | None,
        _of_translator(
            envvar="TRIPTYCH_DATA",
            help="Folder of the files it was trained on, for the far subset.",
            show_default="that of --data",
        ),
    ] = None,
    worst: Annotated[int, _of_translator(min=0, help="Show so many of the worst sentences.")] = 5,
    suite: Annotated[
        Path | None,
        _of_translator(help="Run a robustness suite: its folder, or a direction's file.", show_default="none"),
    ] = None,
    prompt: Annotated[
        str, _of_generator(help="Read before each text, not scored: <rating:{rating}>.", show_default="none")
    ] = "",
    stride: Annotated[
        int | None,
        _of_generator(
            min=1, help="Tokens that each further window of a long text scores.", show_default="half a window"
        ),
    ] = None,
    few_shot: Annotated[str, _of_shots(help="Numbers of examples in the prompt: 0,1,4.", show_default="none")] = "",
    examples: Annotated[
        Path | None, _of_shots(help="File to draw them from.", show_default="the head of --data")
    ] = None,
    pool: Annotated[int, _of_shots(min=1, help="Rows of that head; they are not scored.")] = 64,
    template: Annotated[str, _of_shots(help="How a text and its label are written.")] = "{text} → {label}",
    verbalizers: Annotated[
        str, _of_shots(help="What the labels are called in it: negative=bad,positive=good.", show_default="as they are")
    ] = "",
    channel: Annotated[bool, _of_shots("--channel", help="Compare P(text | label), not P(label | text).")] = False,
    normalize_length: Annotated[bool, _of_shots("--normalize-length", help="Compare likelihood per token.")] = False,
    judge: Annotated[str, _of_steering(help="The classifier, named like CHECKPOINT.", show_default="none")] = "",
    prompts: Annotated[
        str,
        _of_steering(
            help="And the label each is to get: <rating:1>=negative,<rating:9>=positive.", show_default="none"
        ),
    ] = "",
    samples: Annotated[int, _of_steering(min=1, help="For each prompt.")] = 200,
    temperature: Annotated[float, _of_steering()] = 1.0,
    top_k: Annotated[int | None, _of_steering(show_default="none")] = None,
    top_p: Annotated[float | None, _of_steering(show_default="none")] = None,
    max_new_tokens: Annotated[int | None, _of_steering(show_default="the model's own limit")] = None,
) -> None:
    """Measure a checkpoint on any file, through the serving engine.

    A translator: BLEU and chrF; with --suite how it takes what people type. A classifier: accuracy, macro F1,
    calibration. A generator: perplexity and bits per byte; with --few-shot how well it classifies; with --judge whether
    its samples are what their prompts ask for.
    """
    from models.registry import Registry
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
    with plainly():
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
            columns=parts_of(columns),
            format=format,
            limit=limit,
            precision=precision,
            seed=seed,
            pairs=tuple(_pair(each) for each in pair or ()),
            decoding=Decoding(num_beams=beams, length_penalty=length_penalty),
            tokenize=tokenize or None,
            training_data=training_data,
            worst=worst,
            label_column=label_column or "label",
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


def _mapping(option: str, text: str) -> dict[str, str]:
    """`a=b,c=d`; the last equals sign of a part counts. Raises ValueError."""
    found = {}
    for part in parts_of(text):
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
    parts = parts_of(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise ValueError(f"--few-shot {text!r} is not of the form 0,1,4")
    return tuple(map(int, parts))
