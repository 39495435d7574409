"""The routes: translate, languages, glossaries, usage; and what is refused, with where to go instead.

Each is there twice: clients put a server's address and `/v2/translate` together, or put that in place of its path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.gateway.access import key_in_headers
from service.gateway.deepl import bodies, glossaries
from service.gateway.deepl.errors import DeeplError, error_shape, status_of
from service.gateway.deepl.languages import (
    DeeplLanguage,
    DeeplPairs,
    base_code,
    base_pairs,
    source_languages,
    target_codes,
    target_languages,
)
from service.gateway.forms import URLENCODED, documented, read_body_or_form
from service.gateway.glossaries import Entries
from service.gateway.languages import AUTO, Choice, Pair
from service.gateway.openapi import error_answers
from service.gateway.parsing import checked, media_type
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import get, refuse
from service.gateway.traffic import Traffic
from service.gateway.translations import ToTranslate, Translation, examples_of, pairs_of, translated
from service.messages import ModelInfo, Task

PREFIXES = ("/deepl", "/v2")
BASES = ("/deepl/v2", "/v2")  # the first is the one that is documented
UNLIMITED = 10**12  # the characters that DeepL tells those who have no limit

OWN_GLOSSARIES = "glossaries are files of whoever runs the service, named in its settings: gateway.glossaries"
REFUSED = {
    ("POST", "glossaries"): OWN_GLOSSARIES,
    ("DELETE", "glossaries/{id}"): OWN_GLOSSARIES,
    ("POST", "document"): "documents are not translated here: POST /translate/file takes them",
}

_TABLE = {"text/tab-separated-values": {"schema": {"type": "string"}}}

Endpoint = Callable[[Request], Awaitable[Response]]


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    begun = datetime.now(UTC)  # when the glossaries were read

    async def pairs() -> list[Pair]:
        return pairs_of(await traffic.catalogue.infos("translate", None))

    async def translate(request: Request) -> Response:
        body = await read_body_or_form(request, bodies.DeeplTranslateBody)
        asked = ToTranslate(
            texts=body.texts,
            called="text",
            languages=Choice(body.source_lang or AUTO, body.target_lang, "source_lang and target_lang"),
            glossary=_entries(traffic, await pairs(), body) if body.glossaries else (),
            decoding=body.decoding,
            options=body.options,
        )
        found = await translated(traffic, request, asked)
        return JSONResponse({"translations": [_rendered(body, *each) for each in zip(body.text, found, strict=True)]})

    async def languages(request: Request) -> Response:
        asked = checked(dict(request.query_params), bodies.DeeplLanguagesBody)
        if media_type(request) == URLENCODED:  # DeepL's own client sends it so
            asked = await read_body_or_form(request, bodies.DeeplLanguagesBody)
        listed = target_languages if asked.type == "target" else source_languages
        return JSONResponse(listed(await pairs()))

    async def usage(request: Request) -> Response:
        return JSONResponse({"character_count": 0, "character_limit": UNLIMITED})

    async def language_pairs(request: Request) -> Response:
        known = base_pairs(await pairs())
        said = [{"source_lang": source.lower(), "target_lang": target.lower()} for source, target in known]
        return JSONResponse({"supported_languages": said})

    async def list_glossaries(request: Request) -> Response:
        found = glossaries.all_of(traffic.glossaries, await pairs())
        return JSONResponse({"glossaries": [each.said(begun) for each in found]})

    async def get_glossary(request: Request) -> Response:
        found = glossaries.find(traffic.glossaries, await pairs(), request.path_params["id"])
        return JSONResponse(found.said(begun))

    async def glossary_entries(request: Request) -> Response:
        found = glossaries.find(traffic.glossaries, await pairs(), request.path_params["id"])
        return Response(found.table(), media_type="text/tab-separated-values")

    for base, shown in _bases():
        app.add_api_route(
            f"{base}/translate",
            translate,
            methods=["POST"],
            summary="Translate texts",
            include_in_schema=shown,
            openapi_extra=documented(bodies.DeeplTranslateBody),
            **_documentation("translate", {"model": bodies.DeeplTranslations}, 400, 408, 413, 415, 503, 504),
        )

    def reads(path: str, summary: str, endpoint: Endpoint, answer: Any, *failures: int, **extra: Any) -> None:
        """`answer`: None is a table."""
        success = {"model": answer} if answer else {"description": "Lines of source and target", "content": _TABLE}
        said = {"summary": summary, **_documentation(endpoint.__name__, success, 503, *failures)}
        kind = JSONResponse if answer else Response
        for base, shown in _bases():
            path_of = f"{base}/{path}"
            get(app, path_of, include_in_schema=shown, openapi_extra=extra, response_class=kind, **said)(endpoint)

    kinds = {"name": "type", "in": "query", "schema": {"enum": ["source", "target"]}}
    reads("languages", "List the languages", languages, list[DeeplLanguage], 400, parameters=[kinds])
    reads("usage", "Say how much has been used: nothing is billed", usage, bodies.DeeplUsage)
    reads("glossary-language-pairs", "List the pairs that have glossaries", language_pairs, DeeplPairs)
    reads("glossaries", "List the glossaries", list_glossaries, glossaries.DeeplGlossaryList)
    id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    reads("glossaries/{id}", "Find a glossary", get_glossary, glossaries.DeeplGlossary, 404, parameters=[id])
    reads("glossaries/{id}/entries", "Fetch a glossary's entries", glossary_entries, None, 404, parameters=[id])
    for (method, path), why in REFUSED.items():
        documentation = _documentation(f"{method.lower()}_{path.partition('/')[0]}", None, 400)
        extra = {"parameters": [id]} if "{id}" in path else None
        for base, shown in _bases():
            refuse(
                app, method, f"{base}/{path}", why, 400, include_in_schema=shown, openapi_extra=extra, **documentation
            )


def _bases() -> list[tuple[str, bool]]:
    return [(base, base == BASES[0]) for base in BASES]


def _entries(traffic: Traffic, pairs: Sequence[Pair], body: bodies.DeeplTranslateBody) -> Entries:
    """Of all glossaries that are asked for; of what several say, what the first says."""
    found: dict[str, str] = {}
    for said in body.glossaries:
        entries = glossaries.asked_for(traffic.glossaries, pairs, said, body.source_lang, body.target_lang)
        found = {**dict(entries), **found}
    return tuple(found.items())


def _rendered(body: bodies.DeeplTranslateBody, text: str, translation: Translation) -> dict[str, Any]:
    said: dict[str, Any] = {"detected_source_language": base_code(translation.source), "text": translation.text}
    if body.show_billed_characters:
        said["billed_characters"] = len(text)
    if body.model_type_used:
        said["model_type_used"] = body.model_type_used
    return said


def _documentation(name: str, success: dict[str, Any] | None, *failures: int) -> dict[str, Any]:
    """Keyword arguments of the route. `success`: None has none."""
    errors = error_answers(*sorted({*failures, 403, 429, 500}), model=DeeplError, status_of=status_of)
    return {
        "name": f"deepl_{name}",
        "tags": ["deepl"],
        "responses": {**({200: success} if success else {}), **errors},
    }


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    found = {
        shown: {"text": texts, "source_lang": base_code(source), "target_lang": next(iter(target_codes(target)))}
        for shown, texts, (source, target) in examples_of(models)
    }
    return {f"{BASES[0]}/translate": found} if found else {}


DEEPL = HttpProtocol(
    add_routes=_add_routes,
    prefixes=PREFIXES,
    key_of=partial(key_in_headers, also="DeepL-Auth-Key"),
    error_shape=error_shape,
    tasks={f"{base}/translate": "translate" for base in BASES},
    description=f"DeepL's clients find what they ask below {BASES[0]}.",
    schemas=(bodies.DeeplTranslateBody,),
    examples=_examples,
)
