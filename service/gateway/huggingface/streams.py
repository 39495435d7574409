"""Streams as text-generation-inference sends them: an event for each token, the last with the whole text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from service.errors import ServiceError
from service.gateway.detection import LanguageScore
from service.gateway.errors import error_object
from service.gateway.huggingface import completions
from service.gateway.openapi import REF
from service.gateway.streaming import frame
from service.gateway.usage import Timings, Usage, timings, usage
from service.messages import Completion, Event, FinishReason, Token


class StreamDetails(BaseModel):
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamEvent(BaseModel):
    """The data of one event of a stream. The last has the whole text, what else is said of it, and what it cost."""

    index: int
    token: completions.TokenDetails
    top_tokens: list[completions.TokenDetails] | None = None
    generated_text: str | None
    alignment: completions.AlignmentWeights | None = None
    sentences: list[completions.TranslatedSentence] | None = None
    detected_language: completions.DetectedLanguage | None = None
    confidence: completions.ConfidenceDetails | None = None
    details: StreamDetails | None
    usage: Usage | None = None
    timings: Timings | None = None


def event_schema(error: type[BaseModel]) -> dict[str, Any]:
    """One event of a stream, as OpenAPI 3.2 describes it."""
    content = {"anyOf": [{"$ref": REF.format(model=one.__name__)} for one in (StreamEvent, error)]}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    properties = {"event": {"enum": ["message", "error"]}, "data": data}
    return {"type": "object", "properties": properties, "required": ["data"]}


class TokenStream:
    """A `service.gateway.streaming.Rendering`."""

    def __init__(self, detected: LanguageScore | None = None) -> None:
        self._detected = detected
        self._last: Token | None = None

    def events(self, events: Sequence[Event]) -> Iterator[bytes]:
        newest: Token | None = None  # which goes with a result that comes with it
        for event in events:
            if isinstance(event, Completion):
                yield frame(last_event(newest or self._silent_token(event), event, self._detected))
                return
            if newest is not None:
                yield frame(_token_event(newest))
            newest = event if isinstance(event, Token) else None
            self._last = newest or self._last
        if newest is not None:
            yield frame(_token_event(newest))

    def _silent_token(self, result: Completion) -> Token:
        """Clients read the token of every event: one that adds nothing, for a result that comes alone."""
        last = self._last
        index, token_id = (0, 0) if last is None else (last.index + 1, last.id)
        return Token(request_id=result.request_id, index=index, id=token_id, text="", logprob=0.0, special=True)

    def error(self, error: ServiceError, request_id: str) -> bytes:
        return frame(error_object(error, request_id), event="error")


def _token_event(token: Token) -> dict[str, Any]:
    """Its index counts from 1."""
    return {
        "index": token.index + 1,
        "token": completions.token_object(token),
        **completions.top_tokens(completions.best_tokens(token)),
        "generated_text": None,
        "details": None,
    }


def last_event(token: Token, result: Completion, detected: LanguageScore | None = None) -> dict[str, Any]:
    """The event that ends a stream: the last token with the whole text."""
    return {
        **_token_event(token),
        "generated_text": result.text,
        **completions.alignment(result),
        **(completions.sentences(result) if completions.differ_by_sentence(result) else {}),
        **completions.detected_language(detected),
        **completions.confidence(result),
        "details": {
            "finish_reason": result.finish_reason,
            "generated_tokens": result.generated_tokens,
            "seed": result.seed,
            "input_length": result.prompt_tokens,
        },
        "usage": usage([result]),
        "timings": timings([result]),
    }
