"""Texts that vocabularies stumble over: other scripts, marks, signs of control, spaces, very long words."""

from __future__ import annotations

import json
from pathlib import Path

TEXTS: list[str] = json.loads(Path(__file__).with_suffix(".json").read_text())
TRAINING = [text for text in TEXTS if len(text) < 60] * 3
