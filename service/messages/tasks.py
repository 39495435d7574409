"""The tasks that are served: a new one is a module beside this and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from service.messages.classify import ClassifyRequest
from service.messages.embed import EmbedRequest
from service.messages.generate import GenerateRequest
from service.messages.request import Request
from service.messages.translate import TranslateRequest

TASKS: dict[str, type[Request]] = {
    "translate": TranslateRequest,
    "generate": GenerateRequest,
    "classify": ClassifyRequest,
    "embed": EmbedRequest,
}

if TYPE_CHECKING:
    Task = str
else:
    Task = Literal[tuple(TASKS)]  # one of these names: what schemas and settings check
