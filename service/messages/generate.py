from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from service.messages.decoding import GREEDY, Decoding
from service.messages.parameters import parameter
from service.messages.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(Request):
    """Answered with a `Completion`."""

    made_for: ClassVar = ("generate",)

    return_full_text: bool = parameter(False, "true: the text starts with the prompt")
    decoding: Decoding = GREEDY
