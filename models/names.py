"""What a model may be called: in a recipe, in a registry, in the paths of both."""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def check_name(name: str) -> None:
    """Raises ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no model name: expected at most 63 lower-case letters, digits, '.', '_' and '-', "
            "the first of them a letter or a digit"
        )
