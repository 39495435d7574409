"""Until when an answer is worth something: a time on the clock that gateway and workers share, and what is said of it.

The gateway gives a request its deadline; the engine reckons with the seconds that are left, on a clock of its own.
"""

from __future__ import annotations

import time

from service.errors import DeadlineExceeded
from service.messages.request import Request


def deadline_in(seconds: float) -> float:
    return time.time() + seconds


def seconds_left(request: Request) -> float | None:
    """Until the request's deadline; None where it has none. Raises DeadlineExceeded when it has passed."""
    if request.deadline is None:
        return None
    left = request.deadline - time.time()
    if left <= 0:
        raise passed(f"{-left * 1000:.0f} ms before the request reached the model")
    return left


def passed(when: str) -> DeadlineExceeded:
    return DeadlineExceeded(f"the deadline passed {when}")


def unanswered(timeout_s: float) -> DeadlineExceeded:
    """What a client is told whose answer did not come within the time that it gave."""
    return DeadlineExceeded(f"no answer within {timeout_s * 1000:g} ms", timeout_ms=timeout_s * 1000)
