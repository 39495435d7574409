"""What has been translated of a file, kept beside its output until that is written: one line of JSON a text.

A text is known by a digest of itself and of what its translation depends on, so that a journal is good for a file that
was changed meanwhile, and says nothing for other settings. A line that was cut off is passed over.
"""

from __future__ import annotations

import hashlib
import json
from io import TextIOWrapper
from pathlib import Path

from service.documents.document import Text
from service.translating.translator import Translation

SUFFIX = ".part"


def path_for(output: Path) -> Path:
    return output.with_name(output.name + SUFFIX)


class Journal:
    def __init__(self, path: Path | None, settings: str) -> None:
        """Reads what is there. None: nothing is kept."""
        self.path = path
        self._settings = settings
        self._known: dict[str, Translation] = {}
        self._file: TextIOWrapper | None = None
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                try:
                    entry = json.loads(line)
                    self._known[entry["digest"]] = Translation(entry["translation"], entry.get("finish_reason"))
                except (ValueError, KeyError, TypeError):
                    continue

    def get(self, text: Text) -> Translation | None:
        return self._known.get(self._digest(text))

    def add(self, text: Text, translation: Translation) -> None:
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
            self._file.write("\n")  # behind a line that was cut off
        entry = {"digest": self._digest(text), "translation": translation.text}
        if translation.finish_reason:
            entry["finish_reason"] = translation.finish_reason
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _digest(self, text: Text) -> str:
        return hashlib.sha256(json.dumps([self._settings, text.format, text.text]).encode()).hexdigest()[:32]
