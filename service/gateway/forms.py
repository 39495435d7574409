"""Bodies that may be forms, and queries, as the body that they would be as JSON. Knows nothing of what fields mean.

A form has texts alone, from which numbers and the like are read. A field that is there several times is a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.errors import BadRequest, InvalidRequest, UnsupportedMediaType
from service.gateway.fields import Body
from service.gateway.openapi import REF
from service.gateway.parsing import JSON, checked, media_type, parse_object, quoted, reading

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
KINDS = (JSON, URLENCODED, MULTIPART)
MOST_FIELDS = 1000
MOST_BYTES = 1 << 30  # of a field: the body has its own limit

BodyT = TypeVar("BodyT", bound=Body)


async def read_body_or_form(request: Request, schema: type[BodyT]) -> BodyT:
    """The request's body, as `service.gateway.parsing.read_body` has it, also of a form."""
    fields = await _read(request, schema)
    return checked(fields, schema, strict=None if media_type(request) in (JSON, "") else False)


async def read_body_and_query(request: Request, schema: type[BodyT]) -> BodyT:
    """The same with the fields that the query has besides; where it has them all, there need be no body."""
    with reading(request):
        there = await request.body()
    fields = await _read(request, schema) if there else {}
    return checked({**_query(request), **fields}, schema, strict=False)


def read_query(request: Request, schema: type[BodyT]) -> BodyT:
    return checked(_query(request), schema, strict=False)


def documented(schema: type[Body]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body as JSON or as a form."""
    schemas = {JSON: {"$ref": REF.format(model=schema.__name__)}}
    schemas |= {kind: _as_form(schema) for kind in (URLENCODED, MULTIPART)}
    return {"requestBody": {"required": True, "content": {kind: {"schema": said} for kind, said in schemas.items()}}}


def _as_form(schema: type[Body]) -> dict[str, Any]:
    """What a form may have: no null, and nothing in whatever may be left out."""
    said = schema.model_json_schema()
    assert "$defs" not in said, "a form has no objects"
    for name, field in said["properties"].items():
        for kinds in ("anyOf", "enum"):
            if kinds in field:
                field[kinds] = [kind for kind in field[kinds] if kind not in (None, {"type": "null"})]
        if name not in said["required"]:
            del field["default"]
            said["properties"][name] = {"anyOf": [field, {"const": ""}]}
    return said


def documented_query(schema: type[Body]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its query so."""
    said = schema.model_json_schema()
    required = said.get("required", ())
    return {
        "parameters": [
            {"name": name, "in": "query", "required": name in required, "schema": field}
            for name, field in said["properties"].items()
        ]
    }


async def _read(request: Request, schema: type[Body]) -> Mapping[str, Any]:
    """The fields of a body, unchecked."""
    kind = media_type(request)
    if kind not in (*KINDS, ""):
        raise UnsupportedMediaType(f"content-type is {quoted(kind)}, expected one of {', '.join(KINDS)}")
    with reading(request):
        if kind == MULTIPART:
            return _fields(await _parts(request))
        content = await request.body()
    return _fields(_pairs(content)) if kind == URLENCODED else parse_object(content, schema)


def _pairs(content: bytes) -> Sequence[tuple[str, str]]:
    try:
        return parse_qsl(
            content.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS, separator="&"
        )
    except ValueError as error:  # of which UnicodeDecodeError is one
        raise BadRequest(f"the body is not {URLENCODED} in UTF-8: {error}") from None


async def _parts(request: Request) -> list[tuple[str, Any]]:
    try:
        async with request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=MOST_BYTES) as form:
            return form.multi_items()
    except HTTPException as error:
        raise BadRequest(f"the body is not {MULTIPART}: {error.detail}") from None


def _fields(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An empty field is left out, unless it is one of several with its name: browsers send those that nobody has
    filled in. They write line breaks as two characters."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if not isinstance(value, str):
            raise InvalidRequest(f"{quoted(name)} is a file, expected a text", parameter=name)
        found.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return {name: values if len(values) > 1 else values[0] for name, values in found.items() if values != [""]}


def _query(request: Request) -> dict[str, Any]:
    """Of a query an empty field is an empty text: nobody sends one for nothing."""
    found = {name: request.query_params.getlist(name) for name in request.query_params}
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}
