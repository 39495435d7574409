"""POST /v1/embeddings."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.gateway.answering import Answer
from service.gateway.fields import TEXT, Neutral, taken
from service.gateway.limits import NamedText
from service.gateway.openai.body import Head, OpenAIBody, User
from service.gateway.traffic import Envelope
from service.messages import ModelInfo, Request
from service.messages.embed import Embedding, EmbedRequest

_SCHEMA = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise PydanticCustomError("input", "a text, or several")
    return texts


class EmbeddingObject(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingUsage


class EmbeddingsBody(OpenAIBody):
    task = "embed"
    summary: ClassVar = "Vectors of texts"
    answer: ClassVar = Embeddings
    inputs = "input"
    expected: ClassVar = {"input": "a text, or a list of texts (token ids would be those of another model)"}

    input: Annotated[list[str], PlainValidator(_texts), WithJsonSchema(_SCHEMA)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[Any, Neutral()] = None
    user: User = None
    priority: int | None = taken(Request, "priority")

    @property
    def count(self) -> int:
        return len(self.input)

    def texts(self) -> list[NamedText]:
        named = len(self.input) > 1
        return [
            NamedText(index, f"input[{index}]" if named else "input", text) for index, text in enumerate(self.input)
        ]

    def requests(self, info: ModelInfo, envelope: Envelope) -> list[EmbedRequest]:
        return [EmbedRequest(text=text, **envelope.of(index, self.priority)) for index, text in enumerate(self.input)]

    def answered(self, head: Head, answers: Sequence[Answer]) -> dict[str, Any]:
        tokens = sum(answer.result.prompt_tokens for answer in answers)
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": self._encoded(answer)}
                for index, answer in enumerate(answers)
            ],
            "model": head.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    def _encoded(self, answer: Answer) -> Sequence[float] | str:
        assert isinstance(answer.result, Embedding)
        vector = answer.result.vector
        if self.encoding_format == "base64":
            return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        return vector
