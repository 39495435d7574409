"""Texts as a model's tokens, and tokens as text: what a worker is asked beside requests, and answers at once.

No model runs for it, so that there are no events and nothing waits for a slot.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenize:
    texts: tuple[str, ...]
    add_special_tokens: bool = True  # those that the model reads around a text


@dataclass(frozen=True, slots=True, kw_only=True)
class TextToken:
    id: int
    text: str  # what it stands for in the text; of a special token that is added, its name
    special: bool = False
    start: int | None = None  # in characters of the text; None where the model does not read it as it was sent
    stop: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detokenize:
    ids: tuple[tuple[int, ...], ...]
    skip_special_tokens: bool = True
