"""Answers that clients get. They document: what is sent is built as plain dicts, in `rendering` and the routes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from service.messages import FinishReason, ModelInfo, Task


class Result(BaseModel):
    """What several results have beside their text."""

    score: float | None = None
    seed: int | None = None


class TranslationText(Result):
    translation_text: str


class AlignmentWeights(BaseModel):
    source_tokens: list[str]
    target_tokens: list[str]
    weights: list[list[float]]


class Translation(TranslationText):
    alternatives: list[TranslationText] | None = None
    alignment: AlignmentWeights | None = None


class TokenDetails(BaseModel):
    id: int
    text: str
    logprob: float
    special: bool


class GenerationDetails(BaseModel):
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    prefill: list[TokenDetails]
    tokens: list[TokenDetails]
    top_tokens: list[list[TokenDetails]] | None = None


class GeneratedText(Result):
    generated_text: str


class Generation(GeneratedText):
    alternatives: list[GeneratedText] | None = None
    details: GenerationDetails | None = None


class StreamDetails(BaseModel):
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamEvent(BaseModel):
    """The data of one event of a stream. The last has the whole text, and a translation's alignment."""

    index: int
    token: TokenDetails
    top_tokens: list[TokenDetails] | None = None
    generated_text: str | None
    alignment: AlignmentWeights | None = None
    details: StreamDetails | None


class LabelScore(BaseModel):
    label: str
    score: float


class ErrorDetails(BaseModel):
    code: str
    message: str
    request_id: str


class ErrorAnswer(BaseModel):
    error: ErrorDetails


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
