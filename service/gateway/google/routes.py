"""The routes of version 2: translate, detect, languages. Knows nothing of version 3, whose clients speak gRPC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from fastapi import FastAPI
from pydantic import Field, create_model
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import ServiceError
from service.gateway.access import key_in_headers, key_in_query
from service.gateway.errors import coarse_status
from service.gateway.fields import ANY_TEXT, Body, Neutral, as_list, one_or_several
from service.gateway.forms import documented, documented_query, read_body_and_query
from service.gateway.languages import AUTO, Choice
from service.gateway.openapi import error_answers
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import get
from service.gateway.traffic import Traffic
from service.gateway.translations import ToTranslate, detected, examples_of, pairs_of, translated
from service.iso639 import english_name
from service.messages import ModelInfo, Task

TRANSLATE = "/language/translate/v2"
DETECT, LANGUAGES = f"{TRANSLATE}/detect", f"{TRANSLATE}/languages"
# At 401 clients would fetch another token, and tell of that alone: of a wrong key Google says 403.
status_of = partial(coarse_status, unauthorized=403)
STATUSES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 408: "DEADLINE_EXCEEDED"}
STATUSES |= {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


class GoogleBody(Body):
    # No docstrings in here: the documentation would show them.
    expected: ClassVar = {"q": "a text, or a list of texts"}

    model: Annotated[Any, Neutral("nmt", "base")] = None
    key: str | None = Field(default=None, description="the client's, where keys are asked for: in the query alone")
    alt: Annotated[Any, Neutral("json")] = None
    prettyPrint: Annotated[Any, Neutral("false", "true")] = None


class GoogleLanguagesBody(GoogleBody):
    target: str | None = Field(default=None, description="whatever it is, names come along, which are English")


class GoogleDetectBody(GoogleBody):
    shape: ClassVar = "an object with q"

    q: Annotated[list[str], as_list, one_or_several(ANY_TEXT)]


class GoogleTranslateBody(GoogleDetectBody):
    shape: ClassVar = "an object with q and target"

    target: str = Field(description="the language that the texts are to be in")
    source: str | None = Field(default=None, description="the texts' language; default: that of each is found out")
    format: Literal["text", "html"] | None = Field(default=None, description="default: html, as at Google")
    cid: Annotated[Any, Neutral([])] = None


# Answers document: what is sent is built as plain dicts.
_Translation: Any = create_model("GoogleTranslation", translatedText=str, detectedSourceLanguage=(str | None, None))
_Detection: Any = create_model("GoogleDetection", language=str, confidence=float)
_Language: Any = create_model("GoogleLanguage", language=str, name=(str | None, None))
_Fault: Any = create_model("GoogleFault", message=str, domain=str, reason=str)
_Details: Any = create_model("GoogleErrorDetails", code=int, message=str, status=str, errors=list[_Fault])
_Error = create_model("GoogleError", error=_Details)


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    @_asked_at(app, TRANSLATE, "Translate texts", GoogleTranslateBody, translations=list[_Translation])
    async def google_translate(request: Request) -> Response:
        body = await read_body_and_query(request, GoogleTranslateBody)
        asked = ToTranslate(
            texts=body.q,
            called="q",
            languages=Choice(body.source or AUTO, body.target, "source and target"),
            options={"format": body.format or "html"},
        )
        found = await translated(traffic, request, asked)
        said = [
            {"translatedText": each.text, **({} if body.source else {"detectedSourceLanguage": each.source})}
            for each in found
        ]
        return JSONResponse({"data": {"translations": said}})

    @_asked_at(app, DETECT, "Detect languages", GoogleDetectBody, detections=list[list[_Detection]])
    async def google_detect(request: Request) -> Response:
        body = await read_body_and_query(request, GoogleDetectBody)
        found = await detected(traffic, request, "q", body.q)
        said = [[{"language": each.language, "confidence": each.score}] for each in found]
        return JSONResponse({"data": {"detections": said}})

    @_asked_at(app, LANGUAGES, "List the languages", GoogleLanguagesBody, languages=list[_Language])
    async def google_languages(request: Request) -> Response:
        body = await read_body_and_query(request, GoogleLanguagesBody)
        pairs = pairs_of(await traffic.catalogue.infos("translate", None))
        codes = dict.fromkeys(code for pair in pairs for code in pair)
        said = [{"language": code, **({"name": english_name(code)} if body.target else {})} for code in codes]
        return JSONResponse({"data": {"languages": said}})


def _error(error: ServiceError, request_id: str) -> tuple[int, dict[str, Any]]:
    status = status_of(type(error))
    fault = {"message": error.message, "domain": "global", "reason": error.code}
    word = STATUSES.get(status, "FAILED_PRECONDITION")
    return status, {"error": {"code": status, "message": error.message, "status": word, "errors": [fault]}}


def _asked_at(app: FastAPI, path: str, summary: str, schema: type[GoogleBody], **data: Any) -> Callable[..., Any]:
    """A route of GET, and of POST where there is much to say. `data`: what its answer has, by the name."""
    name = f"Google{next(iter(data)).title()}"
    success = create_model(name, data=create_model(f"{name}Data", **data))
    errors = error_answers(400, 403, 404, 408, 413, 415, 429, 500, 503, 504, model=_Error, status_of=status_of)
    said: Any = {"summary": summary, "tags": ["google"], "responses": {200: {"model": success}, **errors}}

    def add(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        if path != LANGUAGES:
            app.post(path, **said, openapi_extra=documented(schema))(endpoint)
        return get(app, path, **said, openapi_extra=documented_query(schema))(endpoint)

    return add


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {TRANSLATE: {}, DETECT: {}}
    for shown, texts, (source, target) in examples_of(models):
        found[TRANSLATE][shown] = {"q": texts, "source": source, "target": target, "format": "text"}
        found[DETECT][shown] = {"q": texts}
    return found


GOOGLE = HttpProtocol(
    add_routes=_add_routes,
    prefixes=["/language"],
    key_of=lambda scope: key_in_headers(scope, header="x-goog-api-key") or key_in_query(scope, "key"),
    error_shape=_error,
    tasks={TRANSLATE: "translate"},
    description=f"Clients of Google Cloud Translation find what they ask below {TRANSLATE}.",
    schemas=(GoogleTranslateBody, GoogleDetectBody),
    examples=_examples,
)
