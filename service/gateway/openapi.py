"""What /openapi.json says of the endpoints: schemas, examples and errors. Knows nothing of how they work."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.errors import BY_CODE
from service.gateway.schemas import (
    ClassifyBody,
    ErrorAnswer,
    GenerateBody,
    Generation,
    LabelScore,
    TranslateBody,
    Translation,
)
from service.messages import Task

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
_EXAMPLES: dict[Task, dict[str, Any]] = {
    "translate": {
        "One text": {"inputs": "Je suis fatigué.", "parameters": {"src_lang": "fr", "tgt_lang": "en"}},
        "Several": {"inputs": ["Bonjour.", "Merci."], "parameters": {"src_lang": "fr", "tgt_lang": "en"}},
        "The best of a beam search": {
            "inputs": "Je suis fatigué.",
            "parameters": {"src_lang": "fr", "tgt_lang": "en", "num_beams": 4, "num_return_sequences": 3},
        },
        "With a given beginning, and where each word comes from": {
            "inputs": "Je suis fatigué.",
            "parameters": {"src_lang": "fr", "tgt_lang": "en", "target_prefix": "I feel", "return_alignment": True},
        },
        "A stream": {"inputs": "Bonjour.", "parameters": {"src_lang": "fr", "tgt_lang": "en"}, "stream": True},
    },
    "generate": {
        "Greedy": {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}},
        "Sampled": {
            "inputs": "Once upon a time",
            "parameters": {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "seed": 7, "details": True},
        },
        "Several samples": {
            "inputs": "Once upon a time",
            "parameters": {"do_sample": True, "temperature": 0.8, "n": 3, "max_new_tokens": 20},
        },
        "A beam search": {
            "inputs": "Once upon a time",
            "parameters": {"num_beams": 4, "no_repeat_ngram_size": 3, "max_new_tokens": 20},
        },
        "A stream": {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}, "stream": True},
    },
    "classify": {
        "One text": {"inputs": "What a lovely day!", "parameters": {"top_k": 1}},
        "Several": {"inputs": ["What a lovely day!", "I want my money back."]},
        "A pair": {"inputs": {"text": "A man sleeps.", "text_pair": "Someone is asleep."}},
    },
}


class DocumentedApp(FastAPI):
    """Adds the bodies' schemas, which FastAPI does not see: the endpoints read their bodies themselves."""

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            schema = super().openapi()
            _, definitions = models_json_schema([(body, "validation") for body in _BODIES.values()], ref_template=_REF)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            self.openapi_schema = schema
        return self.openapi_schema


def task_documentation(task: Task) -> dict[str, Any]:
    """Keyword arguments of the route decorator."""
    content = {
        "schema": {"$ref": _REF.format(model=_BODIES[task].__name__)},
        "examples": {name: {"value": value} for name, value in _EXAMPLES[task].items()},
    }
    success: dict[str, Any] = {"model": _ANSWERS[task], "description": "One answer for each input, in order"}
    if task != "classify":
        success["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    return {
        "summary": _SUMMARIES[task],
        "tags": ["tasks"],
        "responses": {200: success, **_errors(400, 404, 413, 422, 500, 503, 504)},
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": content}}},
    }


def operation_documentation(summary: str, *, may_fail: bool = False) -> dict[str, Any]:
    """Keyword arguments of the route decorator."""
    return {"summary": summary, "tags": ["operations"], "responses": _errors(503) if may_fail else {}}


def _errors(*statuses: int) -> dict[int, dict[str, Any]]:
    codes = {status: [code for code, error in BY_CODE.items() if error.status == status] for status in statuses}
    return {status: {"model": ErrorAnswer, "description": ", ".join(codes[status])} for status in statuses}
