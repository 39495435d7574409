"""What /openapi.json says of the endpoints: what FastAPI finds out, and what their protocols say.

Knows nothing of how the endpoints work.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.errors import BY_CODE, ServiceError
from service.gateway.errors import ErrorAnswer
from service.gateway.protocol import HttpProtocol
from service.messages import ModelInfo, Task

REF = "#/components/schemas/{model}"


class DocumentedApp(FastAPI):
    """Adds the schemas that FastAPI does not see: the endpoints read bodies and write streams themselves."""

    def __init__(self, protocols: Sequence[HttpProtocol], **settings: Any) -> None:
        description = " ".join(protocol.description for protocol in protocols if protocol.description)
        super().__init__(description=description, **settings)
        self._protocols = protocols

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            schema = super().openapi()
            unseen = [(one, "validation") for protocol in self._protocols for one in protocol.schemas]
            _, definitions = models_json_schema(unseen, ref_template=REF)  # type: ignore[arg-type]  # a Literal
            schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            self.openapi_schema = schema
        return self.openapi_schema

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


def error_answers(
    *statuses: int,
    model: type[BaseModel] = ErrorAnswer,
    status_of: Callable[[type[ServiceError]], int] = lambda error: error.status,
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may fail with these; `status_of` says which ones a protocol makes of errors."""
    codes = {status: [code for code, error in BY_CODE.items() if status_of(error) == status] for status in statuses}
    return {status: {"model": model, "description": ", ".join(those)} for status, those in codes.items()}
