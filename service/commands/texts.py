"""Texts of a command line, answered: where they come from, and what is printed of an answer.

An answer is what the route of the task gives. Knows nothing of the tasks, and of who answers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from service.commands.asking import saying
from service.commands.terminal import failed
from service.serving.asking import Client, NotAnswered, answered, within_limits

STANDARD = "-"
SPARE_S = 30.0  # that an answer may take beyond the service's own limit

JsonOption = Annotated[bool, typer.Option("--json", help="Print the JSON that the HTTP route answers, on one line.")]


def given_or_standard(given: Sequence[str] | None) -> list[str]:
    """What was given; without anything, standard input where it is no terminal."""
    if given:
        return list(given)
    if sys.stdin.isatty():
        raise failed("nothing was given: name a text, or - for standard input")
    return [STANDARD]


def read_standard() -> str:
    """All of standard input, without the end of its last line."""
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise failed(f"standard input is not UTF-8: {error}") from error


def with_standard(given: Sequence[str], read: Callable[[str], Sequence[str]] = lambda text: [text]) -> list[str]:
    """The texts, with those that `read` makes of standard input in the place of -."""
    if list(given).count(STANDARD) > 1:
        raise failed("- is standard input, and was given more than once")
    return [text for each in given for text in (read(read_standard()) if each == STANDARD else [each])]


def answer_all(
    client: Client, task: str, inputs: Sequence[Any], parameters: Mapping[str, Any], model: str | None
) -> Iterator[list[Any]]:
    """The answers of as few requests as the limits allow, as they come."""
    with saying():
        limits = _limits(client)
        lengths = ["".join(each.values()) if isinstance(each, dict) else each for each in inputs]
        for first, end in within_limits(lengths, int(limits["max_inputs"]), int(limits["max_characters"])):
            body = {"inputs": list(inputs[first:end]), "parameters": dict(parameters), "model": model}
            yield answered(client, f"/{task}", body, timeout_s=limits["request_timeout_s"] + SPARE_S)


def stream(client: Client, task: str, text: str, parameters: Mapping[str, Any], model: str | None) -> Iterator[Any]:
    """The events of the answer to one text, of which the last has the whole."""
    with saying():
        body = {"inputs": text, "parameters": dict(parameters), "model": model, "stream": True}
        event: Any = {}
        for event in client.stream(f"/{task}", body, timeout_s=_limits(client)["request_timeout_s"] + SPARE_S):
            yield event
        if event.get("generated_text") is None:
            raise NotAnswered(0, "the answer broke off")


def show(answers: Iterator[list[Any]], as_json: bool, line: Callable[[Any], str]) -> None:
    """Each answer as its `line`, or all of them as one JSON."""
    if as_json:
        write(json.dumps([each for some in answers for each in some], ensure_ascii=False) + "\n")
        return
    for some in answers:
        for each in some:
            write(line(each) + "\n")


def results(name: str) -> Callable[[Any], str]:
    """The text called `name` of an answer, and below it the others where several were asked for."""
    return lambda answer: "\n".join(each[name] for each in (answer, *answer.get("alternatives", ())))


def write(text: str) -> None:
    """At once: who reads it may be waiting, or be gone."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _limits(client: Client) -> dict[str, float]:
    return answered(client, "/info")["limits"]
