"""The files of a published model, in a directory of Hugging Face's layout. It comes from somewhere else: no file of it
is taken from outside of it, nothing in it is run, and whatever is wrong is said in words that name the file.

Knows nothing of architectures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.checkpoint import CheckpointError, parse_json

CONFIG = "config.json"
MOST_BYTES = 1 << 28  # of a file that is read as text: vocabularies of a million tokens have less


class Directory:
    def __init__(self, path: Path | str) -> None:
        """Raises CheckpointError where there is no such directory, or none of a model."""
        self.path = Path(path)
        if not self.path.is_dir():
            raise CheckpointError(f"{self.path}: no such directory")
        # In the cache of huggingface_hub the files of a snapshot are links to blobs beside all snapshots.
        home = self.path.resolve()
        self._within = home.parent.parent if home.parent.name == "snapshots" else home
        if not self.has(CONFIG):
            raise CheckpointError(f"{self.path / CONFIG}: missing: this is not the directory of a model")

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def file(self, name: str) -> Path:
        """Where the file lies. Raises CheckpointError where it is missing, or leads out of the directory."""
        path = self.path / name
        try:
            found = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # missing, a name with a null, a link to itself
            raise CheckpointError(f"{path}: missing") from None
        if not found.is_relative_to(self._within):
            raise CheckpointError(f"{path}: leads out of the directory, to {found}")
        if not found.is_file():
            raise CheckpointError(f"{path}: not a file")
        return found

    def content(self, name: str) -> bytes:
        """Raises CheckpointError."""
        found = self.file(name)
        size = found.stat().st_size
        if size > MOST_BYTES:
            raise CheckpointError(f"{self.path / name}: has {size:,} bytes, the limit is {MOST_BYTES:,}")
        return found.read_bytes()

    def text(self, name: str) -> str:
        """What a file of text says. Raises CheckpointError where it is not UTF-8."""
        try:
            return self.content(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{self.path / name}: not UTF-8: {error}") from None

    def json(self, name: str) -> dict[str, Any]:
        """The object in a file; none of one that is not there. Raises CheckpointError."""
        return parse_json(self.content(name), self.path / name) if self.has(name) else {}
