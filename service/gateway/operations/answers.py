"""Answers that operators get. They document: what is sent is built as plain dicts; a test compares the two."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from service.messages import ModelInfo, Task


class Alive(BaseModel):
    status: Literal["alive"]


class Ready(BaseModel):
    status: Literal["ready"]
    models: list[str]


class SilentModel(BaseModel):
    """One that says nothing of itself at present, and why."""

    name: str
    task: Task
    error: str


class Service(BaseModel):
    name: str
    version: str


class Info(BaseModel):
    service: Service
    models: list[ModelInfo | SilentModel]
    limits: dict[str, float]
