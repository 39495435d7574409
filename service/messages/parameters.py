"""What a client may choose, said once: a parameter is a field of a message, with its bounds and a description.

The HTTP schema, the worker's check and the tables of the documentation follow from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar

from service.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a number must be, or the length of a text or a collection; `each` is what each part of a collection is."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: int | None = None  # of a whole number
    min_length: int | None = None
    max_length: int | None = None
    each: Bounds | None = None

    def words(self) -> str:
        """Of a number: what goes on after "expected"."""
        most = self.most
        if self.gt is not None:
            return f"more than {self.gt}" + ("" if most is None else f" and at most {most}")
        return f"at least {self.ge}" if most is None else f"{self.ge} to {most}"

    @property
    def most(self) -> float | None:
        return self.le if self.lt is None else self.lt - 1

    def check(self, name: str, value: float, **details: Any) -> None:
        """Raises InvalidRequest, with `details`, for a number outside."""
        least, most = self.ge if self.gt is None else self.gt, self.most
        enough = value > self.gt if self.gt is not None else self.ge is None or value >= self.ge
        if not (enough and (most is None or value <= most)):  # so written, NaN is outside
            limit = least if most is None or (least is not None and value <= least) else most
            raise InvalidRequest(f"{name} is {value}, expected {self.words()}", **details, value=value, limit=limit)

    @property
    def length(self) -> Bounds:
        """Of how long it is, or how many there are."""
        return Bounds(ge=self.min_length or 0, le=self.max_length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    KEY: ClassVar[str] = "triptych.parameter"

    bounds: Bounds
    description: str | None
    also: str | None  # another name that clients know it by
    samples: bool  # it says how to sample: given, it asks for sampling
    neutral: Any  # but not with this value, which changes nothing


def parameter(
    default: Any,
    description: str | None = None,
    *,
    also: str | None = None,
    samples: bool = False,
    neutral: Any = None,
    **bounds: Any,
) -> Any:
    """A field of a message that a client may set, within `bounds`, which are those of `Bounds`."""
    said = Parameter(bounds=Bounds(**bounds), description=description, also=also, samples=samples, neutral=neutral)
    return field(default=default, metadata={Parameter.KEY: said})


def parameters_of(message: type) -> dict[str, Parameter]:
    """The parameters of a message, by their names, in their order."""
    return {each.name: each.metadata[Parameter.KEY] for each in fields(message) if Parameter.KEY in each.metadata}


def check_bounds(message: Any) -> None:
    """Each parameter of `message`, and of messages in it. Raises InvalidRequest, which names the first outside."""
    for each in fields(message):
        value = getattr(message, each.name)
        if is_dataclass(value):
            check_bounds(value)
        elif (said := each.metadata.get(Parameter.KEY)) and value is not None:
            for what, number, bounds in _numbers(each.name, value, said.bounds):
                bounds.check(what, number, parameter=each.name)


def _numbers(name: str, value: Any, bounds: Bounds) -> Iterator[tuple[str, float, Bounds]]:
    """What an error calls it, the number itself, and its bounds: of a text its length, of a collection each part's."""
    if isinstance(value, str):
        if bounds.max_length is not None:
            yield f"the length of {name}", len(value), bounds.length
    elif isinstance(value, tuple):
        yield f"the length of {name}", len(value), bounds.length
        for index, part in enumerate(value):
            key, one = part if isinstance(part, tuple) else (index, part)
            if bounds.each is not None:
                yield from _numbers(f"{name}[{key}]", one, bounds.each)
    else:
        yield name, value, bounds
