"""POST /embed: feature extraction, and sentence similarity, which compares one text's vector with those of others."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

from service.errors import InvalidRequest
from service.gateway.answering import Answer
from service.gateway.fields import TEXT, Body, Neutral, Side, taken
from service.gateway.huggingface.body import Priority, TaskBody
from service.gateway.limits import NamedText
from service.gateway.parsing import quoted
from service.gateway.traffic import Envelope
from service.messages import ModelInfo, parameters_of
from service.messages.embed import Embedding, EmbedRequest, Pooling

_SOURCE, _OTHERS = "source_sentence", "sentences"
_LIST = {"type": "array", "minItems": 1, "items": TEXT}
_COMPARISON = {
    "type": "object",
    "properties": {_SOURCE: TEXT, _OTHERS: _LIST},
    "required": [_SOURCE, _OTHERS],
    "additionalProperties": False,
}


class _Compared(list[str]):
    """The first text, which is to be compared with the others."""


def _texts(value: Any, handler: ValidatorFunctionWrapHandler) -> list[str]:
    if not isinstance(value, dict):
        return handler(value if isinstance(value, list) else [value])
    others = value.get(_OTHERS)
    if value.keys() != {_SOURCE, _OTHERS} or not isinstance(others, list) or not others:
        raise PydanticCustomError("comparison", "a text and those that it is compared with")
    return _Compared(handler([value[_SOURCE], *others]))


class EmbedParameters(Body):
    normalize: bool | None = taken(EmbedRequest, "normalize")
    truncate: bool | None = taken(EmbedRequest, "truncate")
    truncation_direction: Side | None = taken(EmbedRequest, "truncation_direction")
    pooling: Pooling | None = taken(EmbedRequest, "pooling")
    priority: Priority = None
    prompt_name: Annotated[Any, Neutral()] = None
    dimensions: Annotated[Any, Neutral()] = None
    encoding_format: Annotated[Any, Neutral("float")] = None


class EmbedBody(EmbedParameters, TaskBody):
    # The client of feature extraction sends its parameters beside the inputs, others below `parameters`.
    expected: ClassVar = {"inputs": f"a text, a list of texts, or an object with {_SOURCE} and {_OTHERS}"}
    summary: ClassVar = "Vectors of texts, or how similar texts are"
    does: ClassVar = "gives vectors of texts, and says how similar texts are"
    answer: ClassVar[Any] = list[list[float]] | list[float]
    one_event: ClassVar = "a vector"

    inputs: Annotated[list[str], WrapValidator(_texts), WithJsonSchema({"anyOf": [TEXT, _LIST, _COMPARISON]})]
    parameters: EmbedParameters | None = None

    def texts(self) -> Iterator[NamedText]:
        for index, text in enumerate(self.inputs):
            name = f"inputs[{index}]"
            if isinstance(self.inputs, _Compared):
                name = f"inputs.{_OTHERS}[{index - 1}]" if index else f"inputs.{_SOURCE}"
            yield NamedText(index, name, text)

    def all_texts(self) -> Iterable[NamedText]:
        return () if self._asked().get("truncate") else self.texts()

    def requests(self, info: ModelInfo, envelope: Envelope) -> list[EmbedRequest]:
        asked = self._asked()
        priority = asked.pop("priority", None)
        return [
            EmbedRequest(text=text, **asked, **envelope.of(index, priority)) for index, text in enumerate(self.inputs)
        ]

    def _asked(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in parameters_of(EmbedRequest):
            outer, inner = getattr(self, name), getattr(self.parameters, name, None)
            if None not in (outer, inner) and outer != inner:
                raise InvalidRequest(
                    f"{name} is {quoted(outer)} and in parameters {quoted(inner)}: they are the same, send one",
                    parameter=name,
                )
            if (given := inner if outer is None else outer) is not None:
                found[name] = given
        return found

    def rendered(self, answers: Sequence[Answer]) -> list[Any]:
        vectors = super().rendered(answers)
        if isinstance(self.inputs, _Compared):
            return [cosine(vectors[0], other) for other in vectors[1:]]
        return vectors

    def rendered_one(self, answer: Answer) -> tuple[float, ...]:
        assert isinstance(answer.result, Embedding)
        return answer.result.vector


def _compared(value: Any, handler: ValidatorFunctionWrapHandler) -> list[str]:
    if not isinstance(value, dict):
        raise PydanticCustomError("comparison", "a text and those that it is compared with")
    return _texts(value, handler)


class SimilarityBody(EmbedBody):
    expected: ClassVar = {"inputs": f"an object with {_SOURCE} and {_OTHERS}"}
    summary: ClassVar = "How similar texts are to one"
    does: ClassVar = "says how similar texts are to one"
    answer: ClassVar = list[float]

    inputs: Annotated[list[str], WrapValidator(_compared), WithJsonSchema(_COMPARISON)]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(map(operator.mul, one, other)) / lengths if lengths else 0.0
