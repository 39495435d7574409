"""Which release this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    try:
        return metadata.version("triptych")
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "0"
