"""Until when an answer is worth something: a time on the clock that gateway and workers share, and what is said of it.

The gateway gives a request its deadline; the engine reckons with what is left of it, on a clock of its own.
"""

from __future__ import annotations

import time

from service.errors import DeadlineExceeded


def deadline_in(seconds: float) -> float:
    return time.time() + seconds


def left_s(deadline: float) -> float:
    """Seconds until then. Raises DeadlineExceeded when it has passed."""
    left = deadline - time.time()
    if left <= 0:
        raise DeadlineExceeded(f"the deadline passed {-left * 1000:.0f} ms before the request reached the model")
    return left


def unanswered(timeout_s: float) -> DeadlineExceeded:
    """What the client is told whose answer did not come within the time it gave."""
    return DeadlineExceeded(f"no answer within {timeout_s * 1000:g} ms", timeout_ms=timeout_s * 1000)


def unfinished() -> DeadlineExceeded:
    """What a request gets whose deadline passed while it waited or ran."""
    return DeadlineExceeded("the deadline passed before the answer was complete")
