"""Who may ask: keys in a file, by their hashes, read again when the file changes.

Knows nothing of HTTP and of what is asked.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from pathlib import Path
from typing import Annotated

import yaml
from limits import parse_many
from pydantic import BaseModel, Field, ValidationError, field_validator

from service.config import in_words
from service.messages import Request, parameters_of

LOOK_S = 1.0  # between two looks at the file
PREFIX = "tk-"  # of the keys that are made here: whoever finds one somewhere sees what it is

_PRIORITY = parameters_of(Request)["priority"].bounds

log = logging.getLogger("triptych.keys")


class Key(BaseModel, frozen=True, extra="forbid", strict=True):
    """One client's, as the file has it: everything but the key itself."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]  # in metrics and in the log
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    requests: str | None = None  # quota of HTTP requests, such as "10/second; 600/minute"; None: none
    tokens: str | None = None  # quota of tokens, read and written ones, such as "100000/day"
    # The most urgent priority that its requests may have; lower is sooner.
    most_urgent: Annotated[int, Field(ge=_PRIORITY.ge, le=_PRIORITY.le)] = 0

    @field_validator("requests", "tokens")
    @classmethod
    def _quota(cls, value: str | None) -> str | None:
        if value is not None and any(each.amount < 1 for each in parse_many(value)):
            raise ValueError('expected quotas of at least 1, such as "600/minute"')
        return value


class _File(BaseModel, frozen=True, extra="forbid"):
    keys: list[Key]

    @field_validator("keys")
    @classmethod
    def _different(cls, value: list[Key]) -> list[Key]:
        for each in ("name", "sha256"):
            several = [getattr(key, each) for key in value]
            twice = next((one for one in several if several.count(one) > 1), None)
            if twice is not None:
                raise ValueError(f"the {each} {twice!r} is there twice")
        return value


class Keys:
    def __init__(self, path: Path) -> None:
        """Raises ValueError or OSError where the file holds no keys."""
        self._path = path
        self._keys = read_keys(path)
        self._seen = _state(path)
        self._looked = time.monotonic()

    def find(self, given: str) -> Key | None:
        """Whose key it is. A file that has become unreadable changes nothing but the log."""
        if time.monotonic() - self._looked > LOOK_S:
            self._look()
        return self._keys.get(hash_of(given))

    def named(self, name: str) -> Key | None:
        return next((key for key in self._keys.values() if key.name == name), None)

    def _look(self) -> None:
        self._looked = time.monotonic()
        if (seen := _state(self._path)) == self._seen:
            return
        self._seen = seen
        try:
            keys = read_keys(self._path)
        except (OSError, ValueError) as error:
            log.error("the keys in %s cannot be read, those from before go on: %s", self._path, error)
            return
        log.info("%d keys in %s, before %d", len(keys), self._path, len(self._keys))
        self._keys = keys


def read_keys(path: Path) -> dict[str, Key]:
    """By their hashes. Raises ValueError or OSError."""
    try:
        return parsed_keys(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {error}") from None


def parsed_keys(text: str, called: str) -> dict[str, Key]:
    """Of the text of a file, which errors call so. Raises ValueError."""
    try:
        return {key.sha256: key for key in _File.model_validate(yaml.safe_load(text)).keys}
    except ValidationError as error:
        raise ValueError(f"{called}: {in_words(error)}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{called}: {error}") from None


def hash_of(key: str) -> str:
    """A plain hash does: nobody guesses a key of 256 random bits."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _state(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file does, also when another one takes its place, as a Kubernetes secret's does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
