"""The routes: translate, detect, languages, and what pages ask; and what is refused, with where to go instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from service.errors import ServiceError
from service.gateway.access import key_in_headers, key_in_query
from service.gateway.context import RequestContext
from service.gateway.detection import LanguageScore
from service.gateway.fields import Body
from service.gateway.forms import documented, read_body_or_form
from service.gateway.languages import Choice
from service.gateway.libretranslate import bodies
from service.gateway.limits import NamedText
from service.gateway.openapi import error_answers
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import get, refuse
from service.gateway.traffic import Traffic
from service.gateway.translations import ToTranslate, Translation, examples_of, pairs_of, ranked, translated
from service.iso639 import english_name
from service.messages import ModelInfo, Task

PREFIX = "/libretranslate"
TRANSLATE = f"{PREFIX}/translate"
DETECT = f"{PREFIX}/detect"
FRONTEND_TIMEOUT_MS = 500  # for which a page waits after the last key before it asks: LibreTranslate's own
REFUSED = {
    "suggest": "suggestions of better translations are not kept",
    "translate_file": "files are not translated here: POST /translate/file takes them",
}


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    @app.post(TRANSLATE, **_documentation("Translate texts", bodies.LibreTranslation, bodies.LibreTranslateBody))
    async def libretranslate_translate(request: Request) -> Response:
        body = await read_body_or_form(request, bodies.LibreTranslateBody)
        await _enter(traffic, request, body.api_key)
        asked = ToTranslate(
            texts=body.texts,
            called="q",
            languages=Choice(body.source, body.target, "source and target"),
            decoding=body.decoding,
            options={"format": body.format or "text"},
        )
        return JSONResponse(_rendered(body, asked.languages, await translated(traffic, request, asked)))

    @app.post(DETECT, **_documentation("Detect a language", list[bodies.LibreDetectedLanguage], bodies.LibreDetectBody))
    async def libretranslate_detect(request: Request) -> Response:
        body = await read_body_or_form(request, bodies.LibreDetectBody)
        await _enter(traffic, request, body.api_key)
        body.check()
        ((first, *others),) = await ranked(traffic, request, [NamedText(0, "q", body.q)])
        return JSONResponse([_detected(each) for each in (first, *(other for other in others if other.score))])

    @get(app, f"{PREFIX}/languages", **_documentation("List the languages", list[bodies.LibreLanguage]))
    async def libretranslate_languages(request: Request) -> Response:
        pairs = pairs_of(await traffic.catalogue.infos("translate", None))
        codes = dict.fromkeys(code for pair in pairs for code in pair)
        return JSONResponse(
            [{**_named(code), "targets": [target for source, target in pairs if source == code]} for code in codes]
        )

    @get(
        app,
        f"{PREFIX}/frontend/settings",
        **_documentation("Say what a page is to know", bodies.LibreFrontendSettings),
    )
    async def libretranslate_settings(request: Request) -> Response:
        pairs = pairs_of(await traffic.catalogue.infos("translate", None))
        return JSONResponse(
            {
                "charLimit": traffic.settings.max_characters,
                "frontendTimeout": FRONTEND_TIMEOUT_MS,
                "apiKeys": traffic.access.needs_key,
                "keyRequired": traffic.access.needs_key,
                "suggestions": False,
                "filesTranslation": False,
                "supportedFilesFormat": [],
                "language": {"source": {"code": "auto", "name": "Auto Detect"}, "target": _named(pairs[0][1])},
            }
        )

    @get(app, f"{PREFIX}/health", **_documentation("A translator answers", bodies.LibreHealth))
    async def libretranslate_health(request: Request) -> Response:
        await traffic.catalogue.infos("translate", None)
        return JSONResponse({"status": "ok"})

    for name, why in REFUSED.items():
        responses = error_answers(422, 500, model=bodies.LibreError)
        called = f"libretranslate_{name}"
        refuse(app, "POST", f"{PREFIX}/{name}", why, 422, name=called, tags=["libretranslate"], responses=responses)


def _key(scope: Scope) -> str | None:
    return key_in_headers(scope) or key_in_query(scope, "api_key")


async def _enter(traffic: Traffic, request: Request, key: str | None) -> None:
    """Whoever has brought no key before brings it in the body. What only tells of languages takes none, as it does not
    at LibreTranslate.
    """
    context = RequestContext.of(request.scope)
    if context.key is None:
        await traffic.access.enter(context, key)


def _rendered(body: bodies.LibreTranslateBody, languages: Choice, found: Sequence[Translation]) -> dict[str, Any]:
    """One thing of each kind for one text, a list for a list."""
    several = isinstance(body.q, list)
    said: dict[str, list[Any]] = {"translatedText": [each.text for each in found]}
    if languages.is_auto:
        said["detectedLanguage"] = [_detected(LanguageScore(each.source, each.score)) for each in found]
    if body.alternatives:
        said["alternatives"] = [each.alternatives for each in found]
    return {name: values if several else values[0] for name, values in said.items()}


def _detected(language: LanguageScore) -> dict[str, Any]:
    return {"language": language.language, "confidence": round(100 * language.score, 2)}


def _named(code: str) -> dict[str, Any]:
    return {"code": code, "name": english_name(code)}


def _error(error: ServiceError, request_id: str) -> tuple[int, dict[str, Any]]:
    return error.status, {"error": error.message}


def _documentation(summary: str, answer: Any, body: type[Body] | None = None) -> dict[str, Any]:
    """Keyword arguments of the route. `body`: None takes none."""
    statuses = (400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504) if body else (404, 500, 503)
    return {
        "summary": summary,
        "tags": ["libretranslate"],
        "responses": {200: {"model": answer}, **error_answers(*statuses, model=bodies.LibreError)},
        **({"openapi_extra": documented(body)} if body else {}),
    }


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for shown, texts, (source, target) in examples_of(models):
        q = texts if len(texts) > 1 else texts[0]
        found.setdefault(TRANSLATE, {})[shown] = {"q": q, "source": source, "target": target}
        found.setdefault(DETECT, {})[shown] = {"q": texts[0]}
    return found


LIBRETRANSLATE = HttpProtocol(
    add_routes=_add_routes,
    prefixes=[PREFIX],
    key_of=_key,
    key_in_body=True,
    error_shape=_error,
    tasks={TRANSLATE: "translate"},
    description=f"LibreTranslate's clients find what they ask below {PREFIX}.",
    schemas=(bodies.LibreTranslateBody, bodies.LibreDetectBody),
    examples=_examples,
)
