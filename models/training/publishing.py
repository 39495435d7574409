"""From a trained checkpoint to a version of the registry, with the scores it was measured to have.

A published version never changes, so scores are written before it is published.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import checkpoint
from models.checkpoint import Manifest
from models.registry import Registry


def set_scores(directory: Path, scores: Mapping[str, Any]) -> Manifest:
    """Put `scores` in the manifest of an unpublished checkpoint, beside those it has; same names are replaced.

    Raises CheckpointError when the directory is damaged, ValueError when it is a published version.
    """
    manifest = checkpoint.verify(directory)
    if manifest.version:
        raise ValueError(
            f"{directory} is published as {manifest.name}@{manifest.version}, which never changes; publish a new one"
        )
    return checkpoint.write_manifest(directory, dataclasses.replace(manifest, scores={**manifest.scores, **scores}))


def publish(directory: Path, registry: Path, scores: Mapping[str, Any] | None = None) -> str:
    """Add `directory` to the registry under its manifest's name; `name@version`. `directory` keeps the scores too."""
    if scores:
        set_scores(directory, scores)
    name = checkpoint.verify(directory).name
    return f"{name}@{Registry(registry).publish(name, directory)}"
