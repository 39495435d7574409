"""From a trained checkpoint to a version of the registry: its scores, the gate it has to pass, its model card.

A published version never changes, so scores are written before it is published.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models import checkpoint
from models.checkpoint import CURVES, CheckpointError, FindBase, Manifest
from models.registry import Registry, RegistryError
from models.training.card import rewrite_card, write_card
from models.training.evaluation.scores import Measured
from models.training.gate import TOLERANCE, GateError, Verdict, judge

# Scores the current version, given its manifest, on the tests of the new one. Raises as scoring does.
ScoreCurrent = Callable[[Manifest], Mapping[str, Measured]]


def merged(directory: Path, base: FindBase, target: Path) -> Path:
    """`target`, a copy of a checkpoint that is kept beside its base, with its adapters in its weights.

    Raises CheckpointError where the base is not found, ValueError for a checkpoint that is kept beside none.
    """
    found = checkpoint.load(directory, base=base)
    manifest = found.manifest
    if manifest.adapter is None:
        raise ValueError(f"{directory} has no adapters to merge: it is kept beside no base")
    target.mkdir(parents=True, exist_ok=True)
    if (directory / CURVES).is_file():
        shutil.copy(directory / CURVES, target)
    own = dataclasses.replace(manifest, adapter=None, version=0, publication={})
    checkpoint.save(target, model=found.model, tokenizer=found.tokenizer, manifest=own)
    return target


def publish(
    directory: Path,
    registry: Registry,
    scores: Mapping[str, Any] | None = None,
    *,
    measured: Mapping[str, Measured] | None = None,
    score_current: ScoreCurrent | None = None,
    tolerance: float = TOLERANCE,
    force: bool = False,
    note: str = "",
) -> Manifest:
    """Add `directory` to the registry under its manifest's name; the manifest of the version.

    `directory` gets the scores, beside those it has, and the model card, too; the card of the version tells of its
    publication. The scores are either `measured` here, and then `score_current` measures the current version on the
    same texts, or `scores` from elsewhere, and then the two manifests are compared. Raises CheckpointError for what is
    damaged, ValueError for a published version, and GateError for what is worse than the current version or cannot be
    compared with it (`models.training.gate`); with `force` it is published all the same, and its manifest says so. No
    other publication comes between the comparison and the version being current.
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance is {tolerance}, expected a share from 0 to 1, such as 0.01 or 1%")
    found = dict(scores or {}) if measured is None else {test: each.scores for test, each in measured.items()}
    unscored = checkpoint.verify(directory)
    if unscored.version:
        raise ValueError(f"{directory} is published as {unscored.reference}, which never changes; publish a new one")
    checkpoint.write_manifest(directory, dataclasses.replace(unscored, scores={**unscored.scores, **found}))
    new = write_card(directory)
    verdicts: dict[int, Verdict] = {}  # by the current version: the registry may ask again

    def compared(current: Manifest) -> Verdict:
        if measured is None or score_current is None:
            return judge(current, new, None, tolerance)
        scored = dataclasses.replace(new, scores=found)
        try:
            return judge(current, scored, (score_current(current), measured), tolerance)
        except (OSError, CheckpointError, RegistryError, ValueError) as error:  # it may be forced past what is broken
            obstacle = f"{current.reference} cannot be scored: {error}"
            return judge(current, scored, ({}, measured), tolerance, [obstacle])

    def admit(current: Manifest | None) -> dict[str, Any]:
        publication: dict[str, Any] = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        if note:
            publication["note"] = note
        if current is None:
            return publication
        if current.version not in verdicts:
            verdicts[current.version] = compared(current)
        verdict = verdicts[current.version]
        if verdict.refused and not force:
            raise GateError(new.name, verdict)
        return {**publication, "gate": verdict.to_dict(), "forced": verdict.refused}

    return registry.manifest(new.name, registry.publish(new.name, directory, admit=admit, seal=rewrite_card))
