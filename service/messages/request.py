"""What the requests of all tasks have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from service.messages.parameters import parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    made_for: ClassVar[tuple[str, ...]]  # the tasks of the training job whose checkpoints answer it

    id: str  # unique among the requests alive in the application
    text: str
    stream: bool = False  # True: Token events of the first result come before the terminal one; a beam search has none
    priority: int = parameter(0, "lower is sooner; default: 0", ge=-10, le=10)
    deadline: float | None = None  # of `service.messages.deadline`
