"""How the bodies of translations and generations say what decoding is to be.

The parameters are those of `service.messages.Decoding`, which has their bounds.
"""

from __future__ import annotations

from typing import Any

from pydantic import create_model, model_validator
from pydantic_core import PydanticCustomError

from service.gateway.fields import Body, fields_of
from service.messages import Decoding, parameters_of
from service.messages.decoding import SAMPLING

_NAMES = tuple(parameters_of(Decoding))
_Parameters = create_model("_Parameters", __base__=Body, **fields_of(Decoding))


class DecodingParameters(_Parameters):  # type: ignore[misc, valid-type]  # a class that is made of a table
    """A temperature other than 1, a top_k, a top_p or typical_p below 1 or a min_p above 0 implies sampling, as in
    text-generation-inference, unless do_sample is false.
    """

    @model_validator(mode="after")
    def _one_number_of_results(self) -> DecodingParameters:
        if None not in (self.n, self.num_return_sequences) and self.n != self.num_return_sequences:
            raise PydanticCustomError(
                "two_numbers",
                "n is {n} and num_return_sequences is {other}: they are the same, send one",
                {"n": self.n, "other": self.num_return_sequences},
            )
        return self

    def decoding(self) -> Decoding:
        given = {name: _frozen(value) for name in _NAMES if (value := getattr(self, name)) is not None}
        samples = any(name in given and given[name] != said.neutral for name, said in SAMPLING.items())
        results = self.num_return_sequences or self.n or 1
        return Decoding(**{"do_sample": samples, **given, "num_return_sequences": results})


def _frozen(value: Any) -> Any:
    """As messages have it, which never change."""
    if isinstance(value, dict):
        return tuple(value.items())
    return tuple(value) if isinstance(value, list) else value
