from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from service.messages.decoding import GREEDY, Decoding
from service.messages.parameters import parameter
from service.messages.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One turn of a conversation."""

    role: str
    content: str
    name: str | None = None  # of who speaks, where several have the role


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(Request):
    """Answered with a `Completion`. The prompt is the text, or in its place token ids or a conversation."""

    made_for: ClassVar = ("generate",)

    token_ids: tuple[int, ...] = ()  # the prompt as it is, with its start token if it is to have one
    messages: tuple[ChatMessage, ...] = ()  # for a model with a chat template, which makes the prompt of them
    return_full_text: bool = parameter(False, "true: the text starts with the prompt")
    decoding: Decoding = GREEDY
