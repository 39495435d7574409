from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from service.messages.decoding import GREEDY, Decoding
from service.messages.parameters import parameter
from service.messages.request import Request

Split = Literal["sentences", "lines", "none"]
TextFormat = Literal["text", "html", "xml"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """What elements of a text's markup are, by their names in small letters, whatever they would be otherwise."""

    kept: tuple[str, ...] = ()  # all that they hold stays as it is
    blocks: tuple[str, ...] = ()  # they end a sentence
    inlines: tuple[str, ...] = ()  # they stand in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslateRequest(Request):
    """Answered with a `Completion`."""

    made_for: ClassVar = ("translate",)

    source_language: str  # the gateway fills in what a client left out
    target_language: str  # the source language: the text comes back as it is, where the model has no such pair
    format: TextFormat = parameter("text", "html, xml: markup stays as it is, and inline tags go with their words")  # noqa: RUF009  # a field
    elements: Elements = Elements()  # of the markup
    split: Split = parameter("sentences", "what is translated by itself; what stands between stays as it is")  # noqa: RUF009  # a field
    decoding: Decoding = GREEDY
    protect: bool = parameter(True, "addresses, code, placeholders and the like come back as they are; default: true")
    capitals: bool = parameter(
        True, "a sentence in capitals is read in small letters, and its translation is in capitals; default: true"
    )
    glossary: tuple[tuple[str, str], ...] = ()  # (source, target): what is there in the source is said so
    loop_guard: bool = parameter(True, "ends a translation that repeats itself; default: true")
    target_prefix: str = parameter("", "what the translation begins with")
    min_length_ratio: float | None = parameter(
        None, "new tokens for each token of the text, at least", ge=0, le=100
    )  # the end token counts among the most, not among the least
    max_length_ratio: float | None = parameter(None, "new tokens for each token of the text, at most", gt=0, le=100)
    return_alignment: bool = parameter(
        False, "which source tokens each token comes from; default: false, unless a layer is chosen"
    )
    confidence: bool = parameter(False, "how good the translation is to be expected, from 0 to 1; default: false")
    alignment_layer: int | None = parameter(None, "of the decoder, from 0", ge=0, lt=2**31)  # None: the last
