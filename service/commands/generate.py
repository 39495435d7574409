"""`triptych generate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.commands import texts
from service.commands.asking import KeyOption, LocalOption, LocalRegistryOption, ModelOption, UrlOption, Where, opened
from service.commands.parameters import check, taking
from service.messages import Decoding, GenerateRequest


@taking(Decoding, GenerateRequest, without=("priority",))
def generate(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="What is to be continued; - is all of standard input.",
            show_default="standard input, where it is no terminal",
        ),
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
    """Continue texts. What is generated of one text is printed as it comes."""
    check(parameters)
    prompts = texts.with_standard(texts.given_or_standard(given))
    with opened("generate", Where(url=url, local=local, registry=registry, key=key), model) as (client, name):
        one_result = parameters.get("num_beams", 1) == parameters.get("num_return_sequences", 1) == 1
        if as_json or len(prompts) > 1 or not one_result:
            answers = texts.answer_all(client, "generate", prompts, parameters, name)
            texts.show(answers, as_json, texts.results("generated_text"))
            return
        for number, event in enumerate(texts.stream(client, "generate", prompts[0], parameters, name)):
            if number == 0 and parameters.get("return_full_text"):
                texts.write(prompts[0])
            texts.write(event["token"]["text"])
        texts.write("\n")
