"""What a family of published models says of itself: how its config.json becomes one of ours, its tensors our weights.

A family is a module beside this one and a line in `models.huggingface.families`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from models.config import Config
from models.huggingface.fields import Fields
from models.huggingface.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Assembled:
    config: Config
    rules: Sequence[Rule]
    prefix: str = ""  # of names that a file of the same model without its head has without it
    tied: Mapping[str, str] = field(default_factory=dict)  # tensors that may be there if they are those beside them
    unused: Sequence[
        str
    ] = ()  # tensors that may be there and are nothing to us; `*` as in `models.huggingface.rules.fill`


@dataclass(frozen=True, kw_only=True)
class Special:
    """Ids of tokens, as the directory's files say them; None where they do not."""

    start: int | None
    ends: tuple[int, ...]
    pad: int | None


@dataclass(frozen=True, kw_only=True)
class Family:
    tasks: Mapping[str, str]  # what the classes that config.json may name are made to do, of `models.checkpoint.TASKS`
    assemble: Callable[[Fields, Special], Assembled]
    language_tokens: str = ""  # a pattern of theirs, whose first group is the language; none: it knows no languages
