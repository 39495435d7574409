"""What /openapi.json says of the endpoints: what FastAPI finds out, and what their protocols say.

Knows nothing of how the endpoints work.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.errors import BY_CODE, Forbidden, QuotaExceeded, ServiceError, Unauthorized
from service.gateway.errors import ErrorAnswer
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import PlainRoute
from service.messages import ModelInfo, Task

REF = "#/components/schemas/{model}"


# What requests may have: described once, as no parameter of any operation.
_ID = {
    "name": "x-request-id",
    "in": "header",
    "description": "is the response's, too, and in the log; 1 to 128 printable ASCII characters, else another is made",
    "schema": {"type": "string"},
}
_TIMEOUT = {
    "name": "x-request-timeout-ms",
    "in": "header",
    "description": "how long the answer is worth waiting for, up to request_timeout_s of /info, which is the default",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10**12 - 1},
}
_HEADERS = "Requests may have the headers x-request-id and x-request-timeout-ms: components.parameters has them."
_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key of this service"},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "the same"},
}
_KEY_ERRORS = {"401": Unauthorized, "403": Forbidden, "429": QuotaExceeded}


class DocumentedApp(FastAPI):
    """Adds what FastAPI does not see: the endpoints read bodies and write streams themselves."""

    def __init__(self, protocols: Sequence[HttpProtocol], **settings: Any) -> None:
        described = [protocol.description for protocol in protocols if protocol.description]
        description = " ".join([*described, _HEADERS])
        super().__init__(description=description, generate_unique_id_function=_operation_id, **settings)
        self.router.route_class = PlainRoute
        self._protocols = protocols
        self.keyed: Collection[tuple[str, str]] = ()  # paths and methods that need a key

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            schema = super().openapi()
            unseen = [(one, "validation") for protocol in self._protocols for one in protocol.schemas]
            _, definitions = models_json_schema(unseen, ref_template=REF)  # type: ignore[arg-type]  # a Literal
            schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    self._add_access(path, method.upper(), operation)
            schema["components"]["parameters"] = {"RequestId": _ID, "RequestTimeout": _TIMEOUT}
            if self.keyed:
                schema["components"]["securitySchemes"] = _KEYS
            self.openapi_schema = schema
        return self.openapi_schema

    def _add_access(self, path: str, method: str, operation: dict[str, Any]) -> None:
        answers = operation["responses"]
        if (path, method) in self.keyed:
            operation["security"] = [{name: []} for name in _KEYS]
            shape = next(answer["content"] for status, answer in answers.items() if status >= "400")
            for status, error in _KEY_ERRORS.items():
                answers.setdefault(status, {"description": error.code, "content": shape})

    def document(self, models: Sequence[ModelInfo], tasks: Sequence[Task], root_path: str) -> dict[str, Any]:
        """A copy that shows what the `models` say that they answer well.

        `tasks` are those of all that are served, also of those that say nothing at present. `root_path` is where a
        proxy in front has put the service.
        """
        document = copy.deepcopy(self.openapi())
        if root_path:
            document["servers"] = [{"url": root_path}]
        for protocol in self._protocols:
            for route, examples in protocol.examples(models, tasks).items():
                content = document["paths"][route]["post"]["requestBody"]["content"]["application/json"]
                content["examples"] = {name: {"value": body} for name, body in examples.items()}
        return document


def _operation_id(route: APIRoute) -> str:
    """Such as `translate` and `get_v1_models`: the path, and the method where it is not POST."""
    words = re.findall(r"[A-Za-z0-9]+", route.path) or ["root"]
    [method] = [each.lower() for each in route.methods or ()]
    return "_".join(words if method == "post" else [method, *words])


def error_answers(
    *statuses: int,
    model: type[BaseModel] = ErrorAnswer,
    status_of: Callable[[type[ServiceError]], int] = lambda error: error.status,
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may fail with these; `status_of` says which ones a protocol makes of errors."""
    codes = {status: [code for code, error in BY_CODE.items() if status_of(error) == status] for status in statuses}
    return {status: {"model": model, "description": ", ".join(those)} for status, those in codes.items()}
