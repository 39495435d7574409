"""POST /tokenize and /decode: any model's tokens, in text-embeddings-inference's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from service.errors import InvalidRequest
from service.gateway.fields import Body, Neutral, as_list, one_or_several
from service.gateway.huggingface.body import check_count
from service.gateway.limits import NamedText
from service.messages import Detokenize, TextToken, Tokenize

_MOST_ID = 2**31 - 1
_ID = {"type": "integer", "minimum": 0, "maximum": _MOST_ID}
_IDS = {"type": "array", "items": _ID}
AnyModel = Annotated[str | None, Field(description="whose tokens, by its name in /info; default: the first there")]


class TokenizeBody(Body):
    expected: ClassVar = {"inputs": "a text, or a list of texts"}

    inputs: Annotated[list[str], as_list, one_or_several({"type": "string"})]  # of an empty one there may be some, too
    add_special_tokens: bool | None = Field(
        default=None, description="those that the model reads around a text; default: true"
    )
    prompt_name: Annotated[Any, Neutral()] = None
    model: AnyModel = None

    def check(self, max_inputs: int) -> None:
        check_count("inputs", len(self.inputs), max_inputs)

    def texts(self) -> list[NamedText]:
        return [NamedText(index, f"inputs[{index}]", text) for index, text in enumerate(self.inputs)]

    def asked(self) -> Tokenize:
        return Tokenize(texts=tuple(self.inputs), add_special_tokens=self.add_special_tokens is not False)


class SimpleToken(BaseModel):
    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


def rendered(tokens: Sequence[Sequence[TextToken]]) -> list[list[dict[str, Any]]]:
    return [[asdict(token) for token in text] for text in tokens]


def _lists(value: Any) -> Any:
    return [value] if isinstance(value, list) and not any(isinstance(each, list) for each in value) else value


class DecodeBody(Body):
    shape: ClassVar = "an object with ids"
    expected: ClassVar = {"ids": f"token ids, 0 to {_MOST_ID}, or a list of lists of them"}

    ids: Annotated[
        list[list[Annotated[int, Field(ge=0, le=_MOST_ID)]]],
        BeforeValidator(_lists),
        WithJsonSchema({"anyOf": [_IDS, {"type": "array", "minItems": 1, "items": _IDS}]}),
    ]
    skip_special_tokens: bool | None = Field(default=None, description="default: true, they leave no trace")
    model: AnyModel = None

    def check(self, max_inputs: int, max_ids: int) -> None:
        check_count("ids", len(self.ids), max_inputs)
        if (given := sum(map(len, self.ids))) > max_ids:
            raise InvalidRequest(f"ids has {given} token ids, the limit is {max_ids}", parameter="ids", limit=max_ids)

    def asked(self) -> Detokenize:
        return Detokenize(
            ids=tuple(tuple(ids) for ids in self.ids), skip_special_tokens=self.skip_special_tokens is not False
        )
