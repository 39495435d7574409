"""How the bodies of translations and generations say what decoding is to be.

The parameters are those of `service.messages.Decoding`, which has their bounds.
"""

from __future__ import annotations

from typing import Any

from pydantic import create_model, model_validator
from pydantic_core import PydanticCustomError

from service.gateway.fields import Body, fields_of, frozen
from service.messages import Decoding, parameters_of
from service.messages.decoding import SAMPLING

_TAKEN = parameters_of(Decoding)
_ALSO = {said.also: name for name, said in _TAKEN.items() if said.also}
_Parameters = create_model("_Parameters", __base__=Body, **fields_of(Decoding))


class DecodingParameters(_Parameters):  # type: ignore[misc, valid-type]  # a class that is made of a table
    """A temperature other than 1, a top_k, a top_p or typical_p below 1 or a min_p above 0 implies sampling, as in
    text-generation-inference, unless do_sample is false.
    """

    @model_validator(mode="after")
    def _one_value_of_two_names(self) -> DecodingParameters:
        for also, name in _ALSO.items():
            one, other = getattr(self, also), getattr(self, name)
            if None not in (one, other) and one != other:
                raise PydanticCustomError(
                    "two_values",
                    "{also} is {one} and {name} is {other}: they are the same, send one",
                    {"also": also, "one": one, "name": name, "other": other},
                )
        return self

    def decoding(self) -> Decoding:
        given: dict[str, Any] = {}
        for name, value in self.__dict__.items():  # iterating over the model itself is slow
            name = _ALSO.get(name, name)
            if value is not None and name in _TAKEN:
                given[name] = frozen(value)
        samples = any(name in given and given[name] != said.neutral for name, said in SAMPLING.items())
        return Decoding(**{"do_sample": samples, **given})
