"""Until when an answer is worth something. Knows nothing of who waits for it."""

from __future__ import annotations

import time

from service.errors import DeadlineExceeded
from service.messages import Request


def seconds_left(request: Request) -> float | None:
    """Until the request's deadline; None where it has none. Raises DeadlineExceeded when it has passed."""
    if request.deadline is None:
        return None
    left = request.deadline - time.time()
    if left <= 0:
        raise DeadlineExceeded(f"the deadline passed {-left * 1000:.0f} ms before the request reached the model")
    return left
