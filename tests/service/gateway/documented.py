"""Holds every answer that a test receives against what /openapi.json says of it: nothing missing, and nothing more."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from service.gateway.routing import route_names

ERROR = {"$ref": "#/components/schemas/ErrorAnswer"}
OPENAI_ERROR = {"$ref": "#/components/schemas/OpenAIError"}


class Documented:
    """An httpx hook: raises AssertionError for an answer that the document does not describe."""

    def __init__(self, app: FastAPI) -> None:
        document = copy.deepcopy(app.openapi())
        for schema in document["components"]["schemas"].values():
            if "properties" in schema:
                schema["additionalProperties"] = False
        self._document = document
        self._route_of = route_names(app.routes)

    async def __call__(self, response: httpx.Response) -> None:
        await response.aread()
        request = response.request
        if request.method == "OPTIONS":  # of every path, which is not in the document
            return
        route = self._route_of(request.url.path.replace("/generate/v1/", "/v1/"))  # which is the same once more
        operations = self._document["paths"].get(route, {})
        answers = operations.get(request.method.lower(), {}).get("responses", {})
        self.check(answers.get(str(response.status_code)), response)

    def check(self, answer: dict[str, Any] | None, response: httpx.Response) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0]
        if response.status_code >= 400:
            error = OPENAI_ERROR if "/v1/" in response.request.url.path else ERROR
            self._hold(error if answer is None else answer["content"]["application/json"]["schema"], response.json())
        elif answer is not None and kind == "application/json":
            self._hold(answer["content"][kind]["schema"], response.json())
        elif answer is not None and kind == "text/event-stream":
            self._check_stream(answer["content"][kind]["itemSchema"]["properties"], response.text)

    def _check_stream(self, parts: dict[str, Any], text: str) -> None:
        for block in filter(None, text.split("\n\n")):
            fields = dict(line.split(":", 1) for line in block.split("\n"))
            assert fields.pop("event", "message") in parts.get("event", {"enum": ["message"]})["enum"], block
            if fields != {"": ""}:  # a comment
                self._hold_data(parts["data"], fields.pop("data").removeprefix(" "))
                assert not fields, block

    def _hold_data(self, schema: dict[str, Any], data: str) -> None:
        """It is one of the constants that the schema has, or JSON."""
        kinds = schema.get("anyOf", [schema])
        if data not in [kind.get("const") for kind in kinds]:
            [content] = [kind["contentSchema"] for kind in kinds if "contentSchema" in kind]
            self._hold(content, json.loads(data))

    def _hold(self, schema: dict[str, Any], value: Any) -> None:
        Draft202012Validator({**schema, "components": self._document["components"]}).validate(value)
