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
# What the documentation calls the further fields of an error.
DETAILS = {
    *("available", "index", "known", "language_pair", "limit", "max_body_bytes", "models", "parameter", "possible"),
    *("quota", "request_timeout_s", "retry_after_s", "timeout_ms", "value"),
}


class Documented:
    """An httpx hook: raises AssertionError for an answer that the document does not describe."""

    def __init__(self, app: FastAPI) -> None:
        document = copy.deepcopy(app.openapi())
        for name, schema in document["components"]["schemas"].items():
            if "properties" in schema:
                schema["additionalProperties"] = False
                if name == "ErrorDetails":
                    schema["properties"] |= {name: {} for name in DETAILS}
        self._document = document
        self._route_of = route_names(app.routes)

    async def __call__(self, response: httpx.Response) -> None:
        await response.aread()
        request = response.request
        if request.method == "OPTIONS":  # of every path, which is not in the document
            return
        operations = self._document["paths"].get(self._route_of(request.url.path), {})
        answers = operations.get(request.method.lower(), {}).get("responses", {})
        self.check(answers.get(str(response.status_code)), response)

    def check(self, answer: dict[str, Any] | None, response: httpx.Response) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0]
        if response.status_code >= 400:
            self._hold(ERROR if answer is None else answer["content"]["application/json"]["schema"], response.json())
        elif answer is not None and kind == "application/json":
            self._hold(answer["content"][kind]["schema"], response.json())
        elif answer is not None and kind == "text/event-stream":
            self._check_stream(answer["content"][kind]["itemSchema"]["properties"], response.text)

    def _check_stream(self, parts: dict[str, Any], text: str) -> None:
        for block in filter(None, text.split("\n\n")):
            fields = dict(line.split(":", 1) for line in block.split("\n"))
            assert fields.pop("event", "message") in parts["event"]["enum"], block
            if fields != {"": ""}:  # a comment
                self._hold(parts["data"]["contentSchema"], json.loads(fields.pop("data")))
                assert not fields, block

    def _hold(self, schema: dict[str, Any], value: Any) -> None:
        Draft202012Validator({**schema, "components": self._document["components"]}).validate(value)
