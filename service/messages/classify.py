from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from service.messages.events import Result
from service.messages.parameters import parameter
from service.messages.request import CuttableRequest

ScoreFunction = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRequest(CuttableRequest):
    """Answered with a `Classification`."""

    made_for: ClassVar = ("classify",)

    text_pair: str | None = None  # second text, for models trained on pairs
    top_k: int | None = parameter(None, "how many labels, best first; default: all", ge=1, lt=2**31)
    function_to_apply: ScoreFunction | None = parameter(None, "default: the model's own")  # noqa: RUF009  # a field


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification(Result):
    scores: tuple[tuple[str, float], ...]  # (label, score), best first
