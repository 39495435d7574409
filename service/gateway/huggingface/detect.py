"""POST /detect: the languages of texts, in the shape of text classification. No worker answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from service.gateway.detection import Ranking
from service.gateway.fields import Body, Neutral, Texts, taken
from service.gateway.huggingface.body import InputsBody
from service.gateway.huggingface.classify import LabelScore
from service.messages import ClassifyRequest

Translator = Annotated[str | None, Field(description="whose languages, of several translators; default: of all")]


class DetectParameters(Body):
    top_k: int | None = taken(ClassifyRequest, "top_k")
    function_to_apply: Annotated[Any, Neutral("softmax")] = None


class DetectBody(InputsBody):
    does: ClassVar = "says which language texts are in"
    summary: ClassVar = "Say which of the languages that can be translated texts are in"
    answer: ClassVar = list[list[LabelScore]]
    one_event: ClassVar = "a detection"

    inputs: Texts
    parameters: DetectParameters | None = None
    model: Translator = None

    def rendered(self, rankings: Sequence[Ranking]) -> list[list[dict[str, Any]]]:
        most = None if self.parameters is None else self.parameters.top_k
        return [[{"label": each.language, "score": each.score} for each in ranking[:most]] for ranking in rankings]
