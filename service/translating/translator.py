"""Who translates the texts of files: what it is asked for, what it answers, and how it fails.

Knows neither files nor where it is: behind HTTP (`service`), or in the process that asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from service.documents.document import Text

PRIORITY = 1  # who waits for one sentence goes first
LEAST_RETRY_S = 1.0


class Unusable(Exception):
    """Nothing can be translated: there is no service, or it has no such model, pair or parameter."""


class Gone(Exception):
    """The connection was refused or broke off."""


@dataclass
class Busy(Exception):
    """The service has no room at present."""

    retry_after_s: float
    reason: str


@dataclass
class Failed(Exception):
    """The texts asked for, or the one at `index` among them, have no translation."""

    reason: str
    index: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What holds for every text."""

    source: str
    target: str
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)  # others, as the route takes them

    @property
    def num_beams(self) -> int:
        return int(self.parameters.get("num_beams", 1))


@dataclass(frozen=True, slots=True)
class Translation:
    text: str
    finish_reason: str | None = None  # where it did not come to its end


class Translator(Protocol):
    at_once: int  # threads that may ask at the same time
    patience_s: float  # for which it is asked again while it answers nothing but that it has no room

    @property
    def called(self) -> str:
        """As messages to people name it."""

    @property
    def settings(self) -> str:
        """What a translation depends on besides its text."""

    def translate(self, texts: Sequence[Text]) -> list[Translation]:
        """Raises Busy, Gone, Failed or Unusable."""
