"""What is on disk stays there, and is there all at once: bytes are flushed before the name that shows them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def sync(path: Path) -> None:
    """To disk: a file's bytes, or a directory's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_into_place(scratch: Path, final: Path) -> None:
    """Rename a folder of files, written beside its place on the same file system, over what was there.

    Who sees `final` sees all of it.
    """
    for path in (*scratch.iterdir(), scratch):
        sync(path)
    shutil.rmtree(final, ignore_errors=True)
    scratch.rename(final)
    sync(final.parent)
