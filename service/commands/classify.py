"""`triptych classify`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.commands import texts
from service.commands.asking import KeyOption, LocalOption, LocalRegistryOption, ModelOption, UrlOption, Where, opened
from service.commands.parameters import taking
from service.commands.terminal import failed
from service.messages import ClassifyRequest


@taking(ClassifyRequest, without=("priority",))
def classify(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="What is to be labelled; - is standard input, each line of it a text.",
            show_default="standard input, where it is no terminal",
        ),
    ] = None,
    text_pair: Annotated[
        str | None,
        typer.Option(help="The second text, for models that were trained on pairs.", show_default="none"),
    ] = None,
    model: ModelOption = None,
    url: UrlOption = None,
    local: LocalOption = False,
    registry: LocalRegistryOption = None,
    key: KeyOption = None,
    as_json: texts.JsonOption = False,
    *,
    parameters: dict[str, Any],
) -> None:
    """Label texts: a line for each, its labels with their scores, best first, parted by tabs."""
    asked = texts.with_standard(texts.given_or_standard(given), _lines)
    if not asked:
        raise failed("standard input has no text in it")
    inputs = asked if text_pair is None else [{"text": text, "text_pair": text_pair} for text in asked]
    with opened("classify", Where(url=url, local=local, registry=registry, key=key), model) as (client, name):
        texts.show(texts.answer_all(client, "classify", inputs, parameters, name), as_json, _labels)


def _lines(text: str) -> list[str]:
    """Those that have something in them."""
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]


def _labels(scores: list[dict[str, Any]]) -> str:
    return "\t".join(f"{each['label']} {each['score']:.4f}" for each in scores)
