"""From a trained checkpoint to a version of the registry: its scores, the gate it has to pass, its model card.

A published version never changes, so scores are written before it is published.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import checkpoint
from models.checkpoint import Manifest
from models.registry import Registry
from models.training.card import rewrite_card, write_card

TOLERANCE = 0.01  # relative; a test of some thousand texts says no more than that for certain
_HIGHER, _LOWER = ("bleu", "accuracy", "agreement"), ("bits_per_byte",)
# What has to be equal for two scores of a test to be comparable: how it was computed, and on how many texts.
_SAME = ("signature", "sentences", "texts", "samples", "judge", "asked", "decoding")


@dataclass(frozen=True)
class Comparison:
    """One measure of one test, of the current version and of the one that is to replace it."""

    test: str
    measure: str
    old: float
    new: float
    limit: float  # the worst that passes

    @property
    def worse(self) -> bool:
        better = self.new <= self.limit if self.measure in _LOWER else self.new >= self.limit
        return not better  # also of what is no number


class GateError(ValueError):
    """A checkpoint that is worse than the current version by more than the tolerance."""

    def __init__(self, name: str, against: str, comparisons: tuple[Comparison, ...], tolerance: float) -> None:
        self.comparisons = comparisons
        self.summary = f"{name} is worse than {against} by more than {tolerance:.2%}"
        worse = (
            f"{each.measure} of {each.test} is {each.new:.4g}, was {each.old:.4g}, limit {each.limit:.4g}"
            for each in comparisons
            if each.worse
        )
        super().__init__(f"{self.summary}: {'; '.join(worse)}")


def compare(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float) -> tuple[Comparison, ...]:
    """What the scores of two manifests have in common and may be compared.

    `tolerance` is relative: with 0.01 a BLEU of 30 may fall to 29.7, and 2 bits per byte rise to 2.02.
    """
    found = []
    for test in old:
        before, after = old[test], new.get(test)
        if not isinstance(before, Mapping) or not isinstance(after, Mapping):
            continue
        if any(before.get(field) != after.get(field) for field in _SAME):
            continue
        for measure in (*_HIGHER, *_LOWER):
            if measure in before and measure in after:
                share = 1 + tolerance if measure in _LOWER else 1 - tolerance
                found.append(Comparison(test, measure, before[measure], after[measure], before[measure] * share))
    return tuple(found)


def set_scores(directory: Path, scores: Mapping[str, Any]) -> Manifest:
    """Put `scores` in the manifest of an unpublished checkpoint, beside those it has; same names are replaced.

    Raises CheckpointError when the directory is damaged, ValueError when it is a published version.
    """
    manifest = _unpublished(directory)
    return checkpoint.write_manifest(directory, dataclasses.replace(manifest, scores={**manifest.scores, **scores}))


def publish(
    directory: Path,
    registry: Registry | Path | str,
    scores: Mapping[str, Any] | None = None,
    *,
    tolerance: float = TOLERANCE,
    force: bool = False,
    note: str = "",
) -> Manifest:
    """Add `directory` to the registry under its manifest's name; the manifest of the version.

    `directory` gets the scores and the model card, too; the card of the version tells of its publication. Raises
    GateError when a test that the current version was scored on as well came out worse than `tolerance` allows;
    with `force` it is published all the same, and its manifest says so. No other publication comes between the
    comparison and the version being current.
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance is {tolerance}, expected a share from 0 to 1, such as 0.01 or 1%")
    _unpublished(directory)
    if scores:
        set_scores(directory, scores)
    new = write_card(directory)

    def admit(current: Manifest | None) -> dict[str, Any]:
        publication: dict[str, Any] = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        if note:
            publication["note"] = note
        if current is None:
            return publication
        against = f"{current.name}@{current.version}"
        comparisons = compare(current.scores, new.scores, tolerance)
        refused = any(comparison.worse for comparison in comparisons)
        if refused and not force:
            raise GateError(new.name, against, comparisons, tolerance)
        gate = {
            "against": against,
            "tolerance": tolerance,
            "compared": [dataclasses.asdict(comparison) for comparison in comparisons],
        }
        return {**publication, "gate": gate, "forced": refused}

    registry = registry if isinstance(registry, Registry) else Registry(registry)
    return registry.manifest(new.name, registry.publish(new.name, directory, admit=admit, seal=rewrite_card))


def _unpublished(directory: Path) -> Manifest:
    manifest = checkpoint.verify(directory)
    if manifest.version:
        raise ValueError(
            f"{directory} is published as {manifest.name}@{manifest.version}, which never changes; publish a new one"
        )
    return manifest
