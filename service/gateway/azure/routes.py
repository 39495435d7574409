"""The routes of version 3.0: translate, detect, languages. Knows nothing of later ones, whose bodies say it all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from fastapi import FastAPI
from pydantic import AliasChoices, Field, create_model
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import BadRequest, InputTooLong, ServiceError, UnknownLanguagePair
from service.gateway.access import key_in_headers
from service.gateway.errors import coarse_status
from service.gateway.fields import Body, Neutral, as_list
from service.gateway.forms import documented_query, read_query
from service.gateway.languages import AUTO, Choice
from service.gateway.openapi import REF, error_answers
from service.gateway.parsing import read_body
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import get, refuse
from service.gateway.traffic import Traffic
from service.gateway.translations import ToTranslate, Translation, detected, examples_of, pairs_of, translated_into
from service.iso639 import direction, english_name
from service.messages import ModelInfo, Task

TRANSLATE, DETECT, LANGUAGES = "/azure/translate", "/azure/detect", "/azure/languages"
REFUSED = {
    "breaksentence": "where sentences end is not told: POST /azure/translate takes whole texts",
    "transliterate": "texts are not written in other scripts",
    **dict.fromkeys(("dictionary/lookup", "dictionary/examples"), "there is no dictionary: words are texts, too"),
}
CODES = {BadRequest: 400074, UnknownLanguagePair: 400023, InputTooLong: 400050}  # of others: the status, and 000
SUPPORTED = {"isTranslationSupported": True, "isTransliterationSupported": False}
SCOPES = "translation", "transliteration", "dictionary"


class AzureText(Body):  # no docstrings in here: the documentation would show them
    text: str = Field(validation_alias=AliasChoices("text", "Text"))


class AzureTexts(Body):
    shape: ClassVar = "a list of objects with text"
    array: ClassVar = "body"

    body: list[AzureText]


class AzureQuery(Body):
    version: Literal["3.0"] = Field(default="3.0", alias="api-version")


class AzureLanguagesQuery(AzureQuery):
    scope: str = Field(default=",".join(SCOPES), pattern="^({0})(,({0}))*$".format("|".join(SCOPES)))


class AzureTranslateQuery(AzureQuery):
    to: Annotated[list[str], as_list]
    source: str = Field(default="", alias="from", description="default: the language of each text is found out")
    textType: Literal["plain", "html", "Plain", "Html"] = "plain"
    category: Annotated[Any, Neutral("general")] = None
    profanityAction: Annotated[Any, Neutral("NoAction")] = None
    includeAlignment: Annotated[Any, Neutral("false")] = None
    includeSentenceLength: Annotated[Any, Neutral("false")] = None
    suggestedFrom: Annotated[Any, Neutral()] = None
    fromScript: Annotated[Any, Neutral()] = None
    toScript: Annotated[Any, Neutral()] = None
    allowFallback: Annotated[Any, Neutral("true", "false")] = None


# Answers document: what is sent is built as plain dicts.
_Score: Any = create_model("AzureScore", language=str, score=float)
_Found: Any = create_model("AzureFound", __base__=_Score, isTranslationSupported=bool, isTransliterationSupported=bool)
_Text: Any = create_model("AzureTranslation", text=str, to=str)
_Translated: Any = create_model("AzureTranslated", detectedLanguage=(_Score | None, None), translations=list[_Text])
_Language: Any = create_model("AzureLanguage", name=str, nativeName=str, dir=Literal["ltr", "rtl"])
_Error = create_model("AzureError", error=create_model("AzureErrorDetails", code=int, message=str))
_errors = partial(error_answers, model=_Error, status_of=coarse_status)


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    @app.post(TRANSLATE, **_described("Translate texts", list[_Translated], AzureTranslateQuery))
    async def azure_translate(request: Request) -> Response:
        query, body = read_query(request, AzureTranslateQuery), await read_body(request, AzureTexts)
        asked = ToTranslate(
            texts=[each.text for each in body.body],
            called="body",
            languages=Choice(query.source or AUTO, None, "from and to"),
            options={"format": "html" if query.textType.lower() == "html" else "text"},
        )
        found = await translated_into(traffic, request, asked, query.to)
        return JSONResponse([_rendered(those, query.to, asked.languages.is_auto) for those in found])

    @app.post(DETECT, **_described("Detect languages", list[_Found], AzureQuery))
    async def azure_detect(request: Request) -> Response:
        read_query(request, AzureQuery)
        texts = [each.text for each in (await read_body(request, AzureTexts)).body]
        found = await detected(traffic, request, "body", texts)
        return JSONResponse([{"language": each.language, "score": each.score, **SUPPORTED} for each in found])

    @get(app, LANGUAGES, **_described("List the languages", dict[str, dict[str, _Language]], AzureLanguagesQuery))
    async def azure_languages(request: Request) -> Response:
        scopes = read_query(request, AzureLanguagesQuery).scope.split(",")
        pairs = pairs_of(await traffic.catalogue.infos("translate", None))
        names = {code: english_name(code) for pair in pairs for code in pair}
        found = {code: {"name": name, "nativeName": name, "dir": direction(code)} for code, name in names.items()}
        return JSONResponse({scope: found if scope == "translation" else {} for scope in scopes})

    for path, why in REFUSED.items():
        refuse(app, "POST", f"/azure/{path}", why, 400, tags=["azure"], responses=_errors(400, 500))


def _rendered(found: Sequence[Translation], to: Sequence[str], is_detected: bool) -> dict[str, Any]:
    """A text in each language that it is wanted in; of what they found out of its own, what is surest."""
    said = {"translations": [{"text": each.text, "to": code} for each, code in zip(found, to, strict=True)]}
    surest = max(found, key=lambda each: each.score)
    return {"detectedLanguage": {"language": surest.source, "score": surest.score}, **said} if is_detected else said


def _error(error: ServiceError, request_id: str) -> tuple[int, dict[str, Any]]:
    status = coarse_status(type(error))
    return status, {"error": {"code": CODES.get(type(error), status * 1000), "message": error.message}}


def _described(summary: str, answer: Any, query: type[AzureQuery]) -> dict[str, Any]:  # for the route
    answers = {200: {"model": answer}, **_errors(400, 401, 404, 408, 413, 415, 429, 500, 503, 504)}
    content = {"application/json": {"schema": {"type": "array", "items": {"$ref": REF.format(model="AzureText")}}}}
    body = {} if query is AzureLanguagesQuery else {"requestBody": {"required": True, "content": content}}
    extra = {**documented_query(query), **body}
    return {"summary": summary, "tags": ["azure"], "responses": answers, "openapi_extra": extra}


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    found = {shown: [{"text": text} for text in texts] for shown, texts, _ in examples_of(models)}
    return {TRANSLATE: found, DETECT: found}


AZURE = HttpProtocol(
    add_routes=_add_routes,
    prefixes=["/azure"],
    key_of=partial(key_in_headers, header="ocp-apim-subscription-key"),
    error_shape=_error,
    tasks={TRANSLATE: "translate"},
    description="Clients of Azure's Translator, version 3.0, find what they ask below /azure.",
    schemas=(AzureText,),
    examples=_examples,
)
