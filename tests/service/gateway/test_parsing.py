from __future__ import annotations

import pytest

from service.gateway.parsing import SHOWN, quoted


@pytest.mark.parametrize(
    ("value", "shown"), [("é\n", '"é\\n"'), (None, "null"), (True, "true"), ({"a": [1.5]}, '{"a": [1.5]}')]
)
def test_a_value_is_shown_as_its_client_sent_it(value: object, shown: str) -> None:
    assert quoted(value) == shown


def test_a_long_one_is_cut_and_says_so() -> None:
    assert quoted("x" * (SHOWN - 2)) == f'"{"x" * (SHOWN - 2)}"'
    assert quoted("x" * (SHOWN - 1)) == f'"{"x" * (SHOWN - 1)}…'
