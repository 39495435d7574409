"""How messages quote what a client sent. Knows nothing of what it is."""

from __future__ import annotations

import json
from typing import Any

SHOWN = 80  # characters of a client's value that an error quotes


def quoted(value: Any) -> str:
    """A client's value as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
