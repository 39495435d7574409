"""Where a model comes from: the models it was made with, each with the terms it came under, down to the oldest.

A manifest's `lineage` is a tuple of ancestors, one for each model that this one was made with. Each holds what its own
manifest said at that time, lineage included, so nothing is lost when a run or a registry is gone.

Knows nothing of files or of training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from models.checkpoint import Manifest

# What a model is to its ancestor; the sentence is "NAME starts from ANCESTOR".
STARTS_FROM: Final = "starts from"  # its weights were the first ones
ADAPTS: Final = "adapts"  # its weights are used, or merged, with an adapter's
DISTILLED_FROM: Final = "distilled from"  # its outputs were training targets
BACK_TRANSLATED_BY: Final = "back-translated by"  # it wrote the source side of training pairs
_OF_ITS_WEIGHTS = (STARTS_FROM, ADAPTS)
_AND = " AND "  # of a licence expression of SPDX: all of them apply
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A model that another one was made with, as its manifest described it then."""

    relation: str  # what the younger model is to this one; a later release may know more of them
    name: str  # in a registry, or of the recipe where it was not published
    version: int = 0  # in a registry; 0: not published
    weights: str = ""  # SHA-256 of its weights' file; none: not known, a model of elsewhere
    data: str = ""  # what it was trained on
    licence: str = ""
    attribution: str = ""
    lineage: tuple[Ancestor, ...] = ()  # its own

    def __post_init__(self) -> None:
        for name in ("relation", "name"):
            if not getattr(self, name):
                raise ValueError(f"lineage: {name} is '', expected a text")
        if self.version < 0:
            raise ValueError(f"lineage: version of {self.name} is {self.version}, expected at least 0")
        if self.weights and not _HASH.fullmatch(self.weights):
            raise ValueError(f"lineage: weights of {self.name} is {self.weights!r}, expected a SHA-256")

    @property
    def reference(self) -> str:
        """As messages call it: NAME@VERSION, or its name and the begin of its weights' hash."""
        if self.version:
            return f"{self.name}@{self.version}"
        return f"{self.name} (not published{f', weights {self.weights[:12]}' if self.weights else ''})"


def ancestor(manifest: Manifest, relation: str) -> Ancestor:
    """The entry of a model that another one is made with; `relation` is one of the constants above."""
    return Ancestor(
        relation=relation,
        name=manifest.name,
        version=manifest.version,
        weights=manifest.weights_sha256,
        data=manifest.data,
        licence=manifest.licence,
        attribution=manifest.attribution,
        lineage=manifest.lineage,
    )


def read_lineage(values: Any) -> tuple[Ancestor, ...]:
    """From what JSON gives. Raises ValueError: a field that is missing, unknown or of the wrong type."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"lineage is {values!r}, expected a list")
    return tuple(map(_read, values))


def _read(values: Any) -> Ancestor:
    if not isinstance(values, dict):
        raise ValueError(f"lineage has {values!r}, expected an object")
    known = {field.name: int if field.name == "version" else str for field in fields(Ancestor)}
    unknown = sorted(values.keys() - known.keys())
    missing = sorted({"relation", "name"} - values.keys())
    if unknown or missing:
        raise ValueError(
            f"lineage: {'unknown' if unknown else 'missing'} field {', '.join(map(repr, unknown or missing))}"
        )
    for name, value in values.items():
        if name != "lineage" and type(value) is not known[name]:
            raise ValueError(f"lineage: {name} is {value!r}, expected {'a number' if known[name] is int else 'a text'}")
    return Ancestor(**{**values, "lineage": read_lineage(values.get("lineage", ()))})


def licences(text: str) -> list[str]:
    """The parts of a licence expression such as `MIT AND CC-BY-SA-4.0`."""
    return [part for part in text.split(_AND) if part]


def licence_with(own: str, lineage: Iterable[Ancestor]) -> str:
    """The terms of a model whose own part is under `own`: those of the models whose weights are in it apply, too."""
    parts = [*licences(own), *(part for each in _in_its_weights(lineage) for part in licences(each.licence))]
    return _AND.join(dict.fromkeys(parts))


def attribution_with(own: str, lineage: Iterable[Ancestor]) -> str:
    """Whom to name: with `own` those that the models have to name whose weights are in it."""
    parts = [own] if own else []
    for each in _in_its_weights(lineage):
        if each.attribution and not any(each.attribution in part for part in parts):
            parts.append(each.attribution)
    return "; ".join(parts)


def _in_its_weights(lineage: Iterable[Ancestor]) -> Iterator[Ancestor]:
    return (each for each in lineage if each.relation in _OF_ITS_WEIGHTS)
