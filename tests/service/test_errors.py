from __future__ import annotations

import pytest

from service.errors import NotReady, Overloaded, ServiceError
from service.messages import Failure


@pytest.mark.parametrize(
    ("given", "sent"), [(1542, 60), (float("inf"), 60), (60.1, 60), (3.2, 4), (1, 1), (0.01, 1), (0, 1), (-5, 1)]
)
def test_retry_after_is_whole_seconds_from_1_to_60_whoever_computed_it(given: float, sent: int) -> None:
    assert NotReady("dead", retry_after_s=given).details["retry_after_s"] == sent
    from_worker = Failure(request_id="a", code="overloaded", message="full", details={"retry_after_s": given})
    error = from_worker.error()
    assert isinstance(error, Overloaded)
    assert error.details["retry_after_s"] == sent


def test_an_error_that_does_not_say_when_to_come_back_has_no_such_field() -> None:
    assert ServiceError("broken", limit=3).details == {"limit": 3}
