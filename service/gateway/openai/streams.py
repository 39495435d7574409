"""Streams as OpenAI sends them: chunks, of any number of choices at a time, and `[DONE]`.

Knows nothing of how a chunk's choice looks: it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from service.errors import ServiceError
from service.gateway.openai.errors import OpenAIError, error_answer
from service.gateway.openapi import REF
from service.gateway.streaming import frame
from service.gateway.usage import timings, usage
from service.messages import Completion, Event, Token

DONE = "[DONE]"
SPACE = " "  # after the colon, where OpenAI has it, and clients that read no server-sent events look for it


def event_of(chunk: type[BaseModel]) -> dict[str, Any]:
    """One event of a stream, as OpenAPI 3.2 describes it."""
    references = [{"$ref": REF.format(model=one.__name__)} for one in (chunk, OpenAIError)]
    content = {"type": "string", "contentMediaType": "application/json", "contentSchema": {"anyOf": references}}
    data = {"anyOf": [{"const": DONE}, content]}
    return {"type": "object", "properties": {"data": data}, "required": ["data"]}


@dataclass(eq=False, kw_only=True)
class ChoiceStream:
    """A `service.gateway.streaming.Rendering`: the first choice of a request is what `ids` begins with."""

    head: dict[str, Any]  # what each chunk says
    ids: Sequence[str]  # of the requests, one for each choice
    choices: int  # of each prompt
    includes_usage: bool
    begin: Callable[[int], list[dict[str, Any]]]  # a choice's chunks before its first token
    token: Callable[[int, Token, int], dict[str, Any]]  # ... of a token, with where in the text it begins
    end: Callable[[int, Completion], dict[str, Any]]
    silent: bool  # tokens that show nothing are told, too
    _begun: dict[int, int] = field(default_factory=dict)  # choice -> characters told of it
    _results: dict[int, Completion] = field(default_factory=dict)

    def events(self, events: Sequence[Event]) -> Iterator[bytes]:
        for event in events:
            if not isinstance(event, Token | Completion):
                continue
            index = self.ids.index(event.request_id)
            if index not in self._begun:
                self._begun[index] = 0
                yield from map(self._chunk, self.begin(index))
            if isinstance(event, Completion):
                self._results[index] = event
                yield self._chunk(self.end(index, event))
            elif not event.special and (event.text or self.silent):
                yield self._chunk(self.token(index, event, self._begun[index]))
                self._begun[index] += len(event.text)
            if len(self._results) == len(self.ids):
                yield from self._last()

    def error(self, error: ServiceError, request_id: str) -> bytes:
        return frame(error_answer(error, request_id)[1], space=SPACE)

    def _chunk(self, choice: dict[str, Any]) -> bytes:
        return self._framed([choice], {"usage": None})

    def _last(self) -> Iterator[bytes]:
        if self.includes_usage:
            results = [self._results[index] for index in range(len(self.ids))]
            yield self._framed([], {"usage": usage(results, self.choices), "timings": timings(results)})
        yield f"data:{SPACE}{DONE}\n\n".encode()

    def _framed(self, choices: list[dict[str, Any]], cost: dict[str, Any]) -> bytes:
        said = cost if self.includes_usage else {}
        return frame({**self.head, "choices": choices, **said}, space=SPACE)
