"""What a model has no room for, refused before it travels: too long texts, too many new tokens, too many beams.

Knows nothing of how a protocol calls things: it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from service.errors import InputTooLong, InvalidRequest
from service.messages import Decoding, ModelInfo


@dataclass(frozen=True, slots=True)
class NamedText:
    """A text as errors speak of it."""

    index: int  # of the input that it belongs to
    name: str
    text: str


def check_total(texts: Iterable[NamedText], most: int) -> None:
    """Of all the texts of one call."""
    total = sum(len(each.text) for each in texts)
    if total > most:
        raise InputTooLong(f"the request has texts of {total} characters, the limit is {most}", value=total, limit=most)


def check_lengths(texts: Iterable[NamedText], info: ModelInfo) -> None:
    """No text has more characters than the model could have room for, whatever they are: they need no tokenizing."""
    most = info.max_characters
    for each in texts:
        if most is not None and len(each.text) > most:
            message = f"{each.name} has {len(each.text)} characters, the limit is {most}"
            raise InputTooLong(message, index=each.index, limit=most)


def check_decoding(decoding: Decoding, info: ModelInfo, called: Callable[[str], str] = str) -> None:
    """What no bounds of a single parameter say. `called` says how the client knows a parameter."""
    wanted, least = decoding.max_new_tokens, decoding.min_new_tokens
    most_called, least_called = called("max_new_tokens"), called("min_new_tokens")
    if wanted is not None and wanted > info.max_new_tokens:
        raise InvalidRequest(
            f"{most_called} is {wanted}, the model's limit is {info.max_new_tokens}",
            parameter=most_called,
            limit=info.max_new_tokens,
        )
    most = wanted or info.max_new_tokens
    if least > most:
        raise InvalidRequest(
            f"{least_called} is {least}, {most_called} is {most}",
            parameter=least_called,
            limit=most,
        )
    decoding.check_results(info.slots)
