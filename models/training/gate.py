"""The gate of publishing: whether a new version is worse than the current one, by more than chance and by enough to
matter.

Two versions that were scored in one run are compared on the same texts. Of scores that were measured elsewhere only
figures and intervals are known. Knows nothing of registries or of who scored.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.checkpoint import Manifest
from models.training.evaluation.metrics import headline_of, rounded
from models.training.evaluation.resampling import COMPARISONS, Z95, Interval, Sample, holm, wilson
from models.training.evaluation.scores import Measured

TOLERANCE = 0.01  # relative: a large test makes a trifle significant
LEVEL = 0.05  # of refusing one version in twenty that is not worse in any test
_SHARES = ("accuracy", "agreement")  # of texts that are counted
_LOWER = ("bits_per_byte",)
_JUDGED = (*_SHARES, "masked_word_accuracy", *_LOWER)
_COUNTS = ("sentences", "texts", "samples")
# What has to be equal for two recorded scores to be comparable: of which texts, and how they were computed.
_ALIKE = ("signature", "chrf_signature", "judge", "asked", "decoding", *_COUNTS)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One measure of one test, of the current version and of the one that is to replace it."""

    test: str
    measure: str
    old: float
    new: float
    old_interval: Interval | None
    new_interval: Interval | None
    method: str
    p: float | None  # one-sided, of the new one being worse; None where nothing says how certain the figures are
    limit: float = math.nan  # the worst that the tolerance lets pass
    refused: bool = False

    @property
    def lower_is_better(self) -> bool:
        return self.measure in _LOWER


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate compared, and what keeps the new version out."""

    against: str  # name@version
    tolerance: float
    compared: tuple[Comparison, ...]
    obstacles: tuple[str, ...]  # what could not be compared but has to be
    added: tuple[str, ...]  # tests of the new version alone

    @property
    def worse(self) -> tuple[Comparison, ...]:
        return tuple(each for each in self.compared if each.refused)

    @property
    def refused(self) -> bool:
        return bool(self.worse or self.obstacles)

    def to_dict(self) -> dict[str, Any]:
        """As a manifest's publication has it."""
        return {
            "against": self.against,
            "tolerance": self.tolerance,
            "level": LEVEL,
            "family": "Holm",
            "compared": [_plain(dataclasses.asdict(each)) for each in self.compared],
            "obstacles": list(self.obstacles),
            "added": list(self.added),
        }


class GateError(ValueError):
    """A checkpoint that is worse than the current version, or of which nobody can say that it is not."""

    def __init__(self, name: str, verdict: Verdict) -> None:
        self.verdict = verdict
        said = []
        if verdict.worse:
            said.append(f"{name} is worse than {verdict.against}, by more than chance and {verdict.tolerance:.2%}")
        if verdict.obstacles:
            said.append(f"{name} cannot be compared with {verdict.against}: {'; '.join(verdict.obstacles)}")
        self.summary = ". ".join(said)
        worse = (
            f"{each.measure} of {each.test} is {each.new:.4g}, was {each.old:.4g}, limit {each.limit:.4g}"
            for each in verdict.worse
        )
        super().__init__(": ".join(part for part in (self.summary, "; ".join(worse)) if part))


def judge(
    current: Manifest,
    new: Manifest,
    scored: tuple[Mapping[str, Measured], Mapping[str, Measured]] | None,
    tolerance: float,
    obstacles: Sequence[str] = (),
) -> Verdict:
    """`scored`: the current version and the new one, on the same texts; None: the scores of their manifests are all.

    Refused is what is significantly worse (Holm's rule over all comparisons, at 5 %) and beyond `tolerance`, a relative
    share: with 0.01 a BLEU of 30 may fall to 29.7 and 2 bits per byte rise to 2.02. A figure that is no number is
    refused, and so is what leaves the question open: a direction, a label or a test that is gone, a test of fewer
    texts, or nothing to compare at all.
    """
    found = list(_recorded(current.scores, new.scores) if scored is None else _paired(*scored))
    significant = iter(holm([each.p for each in found if each.p is not None], LEVEL))
    compared = tuple(_decided(each, each.p is None or next(significant), tolerance) for each in found)
    if not compared and not obstacles:
        obstacles = ("there is no test that both were scored on alike",)
    otherwise = _otherwise(current, new, {each.test for each in compared}) if scored is None else ()
    return Verdict(
        against=current.reference,
        tolerance=tolerance,
        compared=compared,
        obstacles=tuple(dict.fromkeys((*_gone(current, new), *otherwise, *obstacles))),
        added=tuple(test for test in new.scores if judged_by(new.scores[test]) and test not in current.scores),
    )


def _decided(each: Comparison, significant: bool, tolerance: float) -> Comparison:
    limit = each.old * (1 + tolerance if each.lower_is_better else 1 - tolerance)
    within = each.new <= limit if each.lower_is_better else each.new >= limit
    return dataclasses.replace(each, limit=limit, refused=not math.isfinite(each.new) or (significant and not within))


def _paired(old: Mapping[str, Measured], new: Mapping[str, Measured]) -> Iterator[Comparison]:
    for test, mine in new.items():
        theirs = old.get(test)
        if theirs is None or theirs.judged is None or mine.judged is None:
            continue
        (measure, sample), (_, other) = mine.judged, theirs.judged
        yield Comparison(
            test=test,
            measure=measure,
            old=other.value,
            new=sample.value,
            old_interval=_interval(theirs.scores, measure),
            new_interval=_interval(mine.scores, measure),
            method=sample.method + (f", {COMPARISONS:,} resamples" if type(sample) is Sample else ""),
            p=sample.p_worse_than(other),
        )


def _recorded(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Comparison]:
    """Of scores of two manifests: no texts are known, so that the intervals have to say how far chance may reach."""
    for test, before in old.items():
        after, measure = new.get(test), judged_by(before)
        if measure is None or not isinstance(after, Mapping) or measure not in after or not _alike(before, after):
            continue
        intervals = [_interval(score, measure) for score in (before, after)]
        errors = [(high - low) / (2 * Z95) for low, high in filter(None, intervals)]
        p = None
        if errors and math.isfinite(after[measure]):  # of one that has none, the other's: it is the same test
            error = math.hypot(errors[0], errors[-1])
            loss = (after[measure] - before[measure]) * (1 if measure in _LOWER else -1)
            p = 0.5 * math.erfc(loss / error / math.sqrt(2)) if error else float(loss <= 0)
        yield Comparison(
            test=test,
            measure=measure,
            old=before[measure],
            new=after[measure],
            old_interval=intervals[0],
            new_interval=intervals[1],
            method="tolerance alone" if p is None else "intervals",
            p=p,
        )


def _gone(current: Manifest, new: Manifest) -> Iterator[str]:
    """What the current version does or was measured on and the new one is not."""
    pairs = [f"{a}-{b}" for a, b in current.language_pairs if (a, b) not in new.language_pairs]
    labels = [label for label in current.labels if label not in new.labels]
    for what, gone in (("direction", pairs), ("label", labels)):
        if gone:
            yield f"it lacks the {what} {', '.join(gone)}"
    for test, before in current.scores.items():
        if judged_by(before) is None:
            continue
        after = new.scores.get(test)
        if not isinstance(after, Mapping):
            yield f"it was not scored on {test}"
            continue
        for name in _COUNTS:
            was, now = before.get(name), after.get(name)
            if isinstance(was, int) and isinstance(now, int) and now < was:
                yield f"{test} had {was:,} {name}, now {now:,}"


def _otherwise(current: Manifest, new: Manifest, compared: set[str]) -> Iterator[str]:
    """Tests that both were scored on, but not alike."""
    for test, before in current.scores.items():
        after = new.scores.get(test)
        if test in compared or judged_by(before) is None or not isinstance(after, Mapping):
            continue
        differing = [name for name in (*_ALIKE, "sha256") if before.get(name) != after.get(name)]
        yield f"{test} was measured otherwise" + (f" ({', '.join(differing)})" if differing else "")


def judged_by(score: object) -> str | None:
    """The measure that decides between two versions; None of what is no test of its own."""
    if not isinstance(score, Mapping) or "subset" in score:
        return None
    if "bleu" in score and (headline := headline_of(score)) in score:
        return headline
    return next((measure for measure in _JUDGED if measure in score), None)


def _alike(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """A hash that only one of them has is of a file of which nobody knows that it was another."""
    hashes = {score["sha256"] for score in (before, after) if "sha256" in score}
    return len(hashes) < 2 and all(before.get(field) == after.get(field) for field in _ALIKE)


def _interval(score: Mapping[str, Any], measure: str) -> Interval | None:
    found = score.get("intervals", {}).get(measure)
    if found is not None:
        return float(found[0]), float(found[1])
    texts = next((score[name] for name in _COUNTS if isinstance(score.get(name), int)), 0)
    value = score.get(measure)
    if measure in _SHARES and texts > 0 and isinstance(value, int | float) and 0 <= value <= 1:
        return rounded(wilson(round(value * texts), texts), 4)
    return None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, figures as short as they say something; what is no number as text, which JSON lacks."""
    found = {}
    for name, value in values.items():
        if isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, float):
            value = float(f"{value:.6g}") if math.isfinite(value) else str(value)
        found[name] = value
    return found
