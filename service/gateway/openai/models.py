"""GET /v1/models: which models the other routes take."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from pydantic import BaseModel

from service.errors import UnknownModel
from service.gateway.catalogue import Catalogue, ServedModel
from service.messages import Task


class ModelObject(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelObject]


def models_of(catalogue: Catalogue, tasks: Collection[Task], created: int) -> dict[str, dict[str, Any]]:
    """By name, those that do one of `tasks`, whether they live or not."""
    return {model.name: _object(model, created) for model in catalogue.models if model.task in tasks}


def unknown(name: str, available: Collection[str]) -> UnknownModel:
    there = ", ".join(available) or "none"
    return UnknownModel(f"no model {name[:80]!r} is served at /v1; available: {there}", available=list(available))


def _object(model: ServedModel, created: int) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": created, "owned_by": "triptych"}
