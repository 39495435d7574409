"""POST /classify."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, WithJsonSchema

from service.errors import InvalidRequest
from service.gateway.answering import Answer
from service.gateway.fields import TEXT, Body, as_list, one_or_several, taken
from service.gateway.huggingface.body import Priority, TaskBody
from service.gateway.limits import NamedText
from service.gateway.traffic import Envelope
from service.messages import Classification, ClassifyRequest, ModelInfo, ScoreFunction


class TextPair(Body):
    """A text, or two for models trained on pairs."""

    text: Annotated[str, WithJsonSchema(TEXT)]
    text_pair: Annotated[str, WithJsonSchema(TEXT)] | None = None


def _as_pair(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


class ClassifyParameters(Body):
    top_k: int | None = taken(ClassifyRequest, "top_k")
    function_to_apply: ScoreFunction | None = taken(ClassifyRequest, "function_to_apply")
    priority: Priority = None


class LabelScore(BaseModel):
    label: str
    score: float


class ClassifyBody(TaskBody):
    summary: ClassVar = "Label texts, or pairs of texts"
    answer: ClassVar = list[list[LabelScore]]
    one_event: ClassVar = "a classification"

    inputs: Annotated[
        list[Annotated[TextPair, BeforeValidator(_as_pair)]],
        as_list,
        one_or_several(TEXT, TextPair.model_json_schema()),
    ]
    parameters: ClassifyParameters | None = None

    def texts(self) -> Iterator[NamedText]:
        for index, pair in enumerate(self.inputs):
            yield NamedText(index, f"inputs[{index}]", pair.text)
            if pair.text_pair is not None:
                yield NamedText(index, f"inputs[{index}].text_pair", pair.text_pair)

    def requests(self, info: ModelInfo, envelope: Envelope) -> list[ClassifyRequest]:
        asked = self.parameters or ClassifyParameters()
        self._check_pairs(info)
        return [
            ClassifyRequest(
                text=pair.text,
                text_pair=pair.text_pair,
                top_k=asked.top_k,
                function_to_apply=asked.function_to_apply,
                **envelope.of(index, asked.priority),
            )
            for index, pair in enumerate(self.inputs)
        ]

    def _check_pairs(self, info: ModelInfo) -> None:
        paired = next((index for index, pair in enumerate(self.inputs) if pair.text_pair is not None), None)
        if paired is not None and not info.takes_pairs:
            raise InvalidRequest(
                f"inputs[{paired}] has a text_pair, but {info.name} ({info.version}) was trained on single texts: "
                "what it said of a pair would mean nothing",
                index=paired,
                parameter=f"inputs[{paired}].text_pair",
            )

    def rendered_one(self, answer: Answer) -> list[dict[str, Any]]:
        assert isinstance(answer.result, Classification)
        return [{"label": label, "score": score} for label, score in answer.result.scores]
