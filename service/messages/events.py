"""What comes of a request, whatever its task: signs that it runs, its tokens, and one terminal event."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from service.errors import BY_CODE, ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds as the worker saw them."""

    queue_ms: float = 0.0  # from arrival at the worker to the first step that included the request
    inference_ms: float = 0.0  # from there to the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Event):
    """The first event of a streamed request that the worker has not refused: it runs, or waits its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopToken:
    """One of the most likely tokens of a step."""

    id: int
    text: str  # of this token alone
    logprob: float
    special: bool = False  # True for tokens that leave no trace in the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Event):
    """One generated token. The `text`s of a stream join to exactly `Completion.text` (without the prompt)."""

    index: int  # 0, 1, ...
    id: int
    text: str  # may be empty: half a character is held back until it is whole
    logprob: float
    special: bool = False  # True for the end token, whose text is empty
    top_tokens: tuple[TopToken, ...] = ()  # best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal(Event):
    """The last event of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Terminal):
    """The answer; each task has its own."""

    prompt_tokens: int
    timing: Timing = Timing()
    model_version: str = ""

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Terminal):
    """Of a request that could not be answered: a `ServiceError` by value."""

    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, request_id: str, error: ServiceError) -> Failure:
        return cls(request_id=request_id, code=error.code, message=error.message, details=error.details)

    def error(self) -> ServiceError:
        return BY_CODE.get(self.code, ServiceError)(self.message, **self.details)
