"""How a translator does on a robustness suite: what is wrong of each output, and how many are right of each kind.

Knows nothing of models: who translates gives the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.training.evaluation.repetition import loops
from models.training.evaluation.resampling import Proportion
from models.training.evaluation.suite import KINDS, Case, Direction, Kind, has_whole, has_words

ROBUSTNESS = "robustness"  # what its scores are called in a manifest, before their direction

# Texts, source and target language; None where the service refuses a text, as it does an empty one.
Answer = Callable[[Sequence[str], str, str], Sequence[str | None]]

# Texts of a language: whether the model was trained on none that is the same.
Unseen = Callable[[str, Sequence[str]], Sequence[bool]]


_LOOPS, _INVENTS, _LOST = "loops", "invents", "lost a piece"  # the worst first


@dataclass(frozen=True)
class Verdict:
    case: Case
    output: str | None  # None: refused
    failures: list[str]  # what is wrong, in a word each
    unseen: bool | None = None  # the model was not trained on the source; None where nobody knows

    @classmethod
    def of(cls, case: Case, output: str | None, unseen: bool | None = None) -> Verdict:
        text = output or ""
        found = {
            _LOOPS: loops(case.source, text),
            _INVENTS: case.wordless and has_words(text),  # there were none to translate
            _LOST: not all(has_whole(text, piece) for piece in case.copied),
        }
        failures = [name for name, holds in found.items() if holds]
        return cls(case, output, failures if failures or case.accepts(text) else ["wrong"], unseen)

    @property
    def right(self) -> bool:
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.case.kind,
            "source": self.case.source,
            "output": self.output,
            "right": self.right,
            "failures": self.failures,
            **({} if self.unseen is None else {"unseen": self.unseen}),
        }


@dataclass(frozen=True)
class Tally:
    """What holds of how many cases."""

    verdicts: tuple[Verdict, ...]

    def only(self, *kinds: Kind) -> Tally:
        return Tally(tuple(verdict for verdict in self.verdicts if verdict.case.kind in kinds))

    @property
    def by_kind(self) -> dict[Kind, Tally]:
        return {kind: self.only(kind) for kind in KINDS if self.only(kind).verdicts}

    @property
    def unseen(self) -> Tally:
        """Of the cases whose source the model was not trained on; of none where that is not known."""
        return Tally(tuple(verdict for verdict in self.verdicts if verdict.unseen))

    @property
    def wrong(self) -> list[Verdict]:
        """What loops first, then what invents, then what loses a piece."""
        found = [verdict for verdict in self.verdicts if not verdict.right]
        return sorted(found, key=lambda verdict: [name not in verdict.failures for name in (_LOOPS, _INVENTS, _LOST)])

    @property
    def right(self) -> Proportion:
        return Proportion.among(verdict.right for verdict in self.verdicts)

    @property
    def looping(self) -> Proportion:
        return Proportion.among(_LOOPS in verdict.failures for verdict in self.verdicts)

    @property
    def inventing(self) -> Proportion:
        """Says words, of the cases without."""
        return Proportion.among(_INVENTS in verdict.failures for verdict in self.verdicts if verdict.case.wordless)

    @property
    def copied(self) -> Proportion:
        """Whole, of the cases with pieces to be copied."""
        return Proportion.among(_LOST not in verdict.failures for verdict in self.verdicts if verdict.case.copied)

    def to_dict(self) -> dict[str, Any]:
        """As a manifest keeps it: shares, of how many each, in which bounds; none where there is nothing to share."""
        shares = {
            "right": self.right,
            "right_unseen": self.unseen.right,
            "greetings_and_capitals": self.only("greeting", "capitals").right,
            "loops": self.looping,
            "invents": self.inventing,
            "copied": self.copied,
        }
        known = {name: share for name, share in shares.items() if share.of}
        return {
            "cases": len(self.verdicts),
            **{name: round(share.value, 4) for name, share in known.items()},
            "of": {name: share.of for name, share in known.items()},
            "intervals": {name: [round(bound, 4) for bound in share.interval] for name, share in known.items()},
        }


def run_suite(
    suite: Mapping[Direction, Sequence[Case]], answer: Answer, unseen: Unseen | None = None
) -> dict[Direction, Tally]:
    found = {}
    for (source, target), cases in suite.items():
        texts = [case.source for case in cases]
        new = [None] * len(texts) if unseen is None else unseen(source, texts)
        found[source, target] = Tally(tuple(map(Verdict.of, cases, answer(texts, source, target), new)))
    return found


def together(tallies: Mapping[Direction, Tally]) -> Tally:
    """Of all directions."""
    return Tally(tuple(verdict for tally in tallies.values() for verdict in tally.verdicts))


def report(tallies: Mapping[Direction, Tally]) -> dict[str, Any]:
    """Everything, as plain values: the shares of all, of each direction and of its kinds, and each output."""
    return {
        "all": together(tallies).to_dict(),
        **{
            "-".join(pair): {
                **tally.to_dict(),
                "by_kind": {kind: of_kind.to_dict() for kind, of_kind in tally.by_kind.items()},
                "outputs": [verdict.to_dict() for verdict in tally.verdicts],
            }
            for pair, tally in tallies.items()
        },
    }
