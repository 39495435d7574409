from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from service.messages.events import Result
from service.messages.parameters import parameter
from service.messages.request import CuttableRequest

Pooling = Literal["mean", "cls", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest(CuttableRequest):
    """Answered with an `Embedding`."""

    made_for: ClassVar = ("pretrain", "classify")

    pooling: Pooling = parameter("mean", "of the tokens' vectors: their mean, the first one's, or each largest value")  # noqa: RUF009  # a field
    normalize: bool = parameter(True, "true, the default: the vector has length 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding(Result):
    vector: tuple[float, ...]
