"""What the model card of a published model says in the lines that are for programs: its README.md begins with YAML."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from models.checkpoint import CARD
from models.huggingface.directory import Directory

_HEAD = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


class PublishedCard(NamedTuple):
    text: str  # of the whole file; nothing where there is none
    licence: str
    source: str  # what the model says that it was made of


def card_of(directory: Directory) -> PublishedCard:
    """A card that cannot be read says nothing: nothing depends on it."""
    text = directory.text(CARD) if directory.has(CARD) else ""
    head = _HEAD.match(text)
    said: Any = None
    if head is not None:
        try:
            said = yaml.safe_load(head[1])
        except (yaml.YAMLError, RecursionError):
            said = None
    values = said if isinstance(said, dict) else {}
    given = {name: _texts(values.get(key)) for key, name in _SAID.items()}
    made_of = [f"{name} {', '.join(those)}" for name, those in given.items() if those]
    licence = next(iter(_texts(values.get("license"))), "")
    return PublishedCard(text, licence, "; ".join(made_of))


_SAID = {"base_model": "made from", "datasets": "trained on"}


def _texts(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
