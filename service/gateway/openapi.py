"""What /openapi.json says of the endpoints: schemas, errors, and the examples of the models that are served.

Knows nothing of how the endpoints work.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.errors import BY_CODE
from service.gateway.answers import ErrorAnswer, Generation, LabelScore, StreamEvent, Translation
from service.gateway.schemas import ClassifyBody, GenerateBody, TranslateBody
from service.messages import ModelInfo, Task

_REF = "#/components/schemas/{model}"
_BODIES: dict[Task, type[BaseModel]] = {"translate": TranslateBody, "generate": GenerateBody, "classify": ClassifyBody}
_ANSWERS: dict[Task, Any] = {
    "translate": list[Translation],
    "generate": list[Generation],
    "classify": list[list[LabelScore]],
}
_SUMMARIES: dict[Task, str] = {
    "translate": "Translate texts",
    "generate": "Continue prompts",
    "classify": "Label texts, or pairs of texts",
}
# One event of a stream, as OpenAPI 3.2 describes it.
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["message", "error"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "anyOf": [{"$ref": _REF.format(model=one.__name__)} for one in (StreamEvent, ErrorAnswer)]
            },
        },
    },
    "required": ["data"],
}


class DocumentedApp(FastAPI):
    """Adds the schemas that FastAPI does not see: the endpoints read bodies and write streams themselves."""

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            schema = super().openapi()
            unseen: tuple[type[BaseModel], ...] = (*_BODIES.values(), StreamEvent)
            _, definitions = models_json_schema([(one, "validation") for one in unseen], ref_template=_REF)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            self.openapi_schema = schema
        return self.openapi_schema


def with_examples(
    document: dict[str, Any], models: Sequence[ModelInfo], tasks: Sequence[Task], root_path: str
) -> dict[str, Any]:
    """A copy of the document that shows, for each task, what the `models` say that they answer well.

    `tasks` are those of all that are served, also of those that say nothing at present; where several have one, each
    example names its model. `root_path` is where a proxy in front has put the service.
    """
    document = copy.deepcopy(document)
    if root_path:
        document["servers"] = [{"url": root_path}]
    for task in _BODIES:
        of_task = [model for model in models if model.task == task]
        if examples := _examples(of_task, named=tasks.count(task) > 1):
            content = document["paths"][f"/{task}"]["post"]["requestBody"]["content"]["application/json"]
            content["examples"] = {name: {"value": body} for name, body in examples.items()}
    return document


def _examples(models: Sequence[ModelInfo], *, named: bool) -> dict[str, Any]:
    """What they show -> body."""
    return {
        f"{model.name}: {shown}" if named else shown: {**body, "model": model.name} if named else body
        for model in models
        for shown, body in model.examples.items()
    }


def task_documentation(task: Task) -> dict[str, Any]:
    """Keyword arguments of the route decorator."""
    content = {"schema": {"$ref": _REF.format(model=_BODIES[task].__name__)}}
    success: dict[str, Any] = {"model": _ANSWERS[task], "description": "One answer for each input, in order"}
    if task != "classify":
        success["content"] = {"text/event-stream": {"itemSchema": _EVENT}}
    return {
        "summary": _SUMMARIES[task],
        "tags": ["tasks"],
        "responses": {200: success, **_errors(400, 404, 408, 413, 422, 500, 503, 504)},
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": content}}},
    }


def operation_documentation(
    summary: str, answer: type[BaseModel] | None = None, *, may_fail: bool = False
) -> dict[str, Any]:
    """Keyword arguments of the route decorator. `answer`: None is plain text."""
    responses = _errors(503) if may_fail else {}
    described = {"summary": summary, "tags": ["operations"]}
    if answer is None:
        return {**described, "responses": responses, "response_class": PlainTextResponse}
    return {**described, "responses": {200: {"model": answer}, **responses}}


def _errors(*statuses: int) -> dict[int, dict[str, Any]]:
    codes = {status: [code for code, error in BY_CODE.items() if error.status == status] for status in statuses}
    return {status: {"model": ErrorAnswer, "description": ", ".join(codes[status])} for status in statuses}
