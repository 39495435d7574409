"""What became of the rows of each file: counts by reason, with an example of each. As text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from models.training.data.cleaning import REASONS

_SHOWN = 20  # labels
Role = Literal["training", "validation", "test"]


@dataclass
class CorpusReport:
    name: str
    role: Role
    rows: int = 0  # that could be read
    kept: int = 0
    examples_kept: int = 0  # of these: a row of a translator gives one for each direction
    repeat: int = 1  # times per epoch
    left_out: dict[str, int] = field(default_factory=dict)  # by reason
    examples: dict[str, str] = field(default_factory=dict)  # by reason: the first such row, as FILE:LINE: text
    broken: int = 0  # rows that could not be read
    broken_first: list[str] = field(default_factory=list)  # as FILE:LINE: reason

    def leave_out(self, reason: str) -> bool:
        """Count it; whether it is the first of its kind."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1
        return self.left_out[reason] == 1

    def lines(self) -> list[str]:
        counts = f"{self.rows:,} rows" if self.role != "training" else f"{self.rows:,} rows, {self.kept:,} kept"
        times = f", {self.repeat} times an epoch" if self.repeat > 1 else ""
        lines = [f"{self.name} ({self.role}): {counts}{times}"]
        entries = [
            (self.left_out[reason], f"{reason} ({meaning})", self.examples.get(reason, ""))
            for reason, meaning in REASONS.items()
            if reason in self.left_out
        ]
        if self.broken:
            entries.append((self.broken, "broken (cannot be read)", self.broken_first[0]))
        for count, reason, example in entries:
            lines.append(f"  {count:>9,}  {reason}{', such as ' + example if example else ''}")
        return lines


@dataclass
class Report:
    """Of all the files of a recipe."""

    corpora: list[CorpusReport] = field(default_factory=list)
    training: int = 0  # examples an epoch
    validation: int = 0  # examples
    labels: dict[str, int] = field(default_factory=dict)  # rows to train on, of a classifier's recipe that names them

    @property
    def near_duplicates(self) -> int:
        """Rows of the training files that were left out for their likeness to a held-out text."""
        return sum(corpus.left_out.get("near_duplicates", 0) for corpus in self.corpora)

    @property
    def broken(self) -> int:
        return sum(corpus.broken for corpus in self.corpora)

    def __str__(self) -> str:
        lines = [line for corpus in self.corpora for line in corpus.lines()]
        if self.labels:
            shown = [f"{label} {count:,}" for label, count in list(self.labels.items())[:_SHOWN]]
            more = f" and {len(self.labels) - _SHOWN:,} more" if len(self.labels) > _SHOWN else ""
            lines.append(f"labels of rows to train on: {', '.join(shown)}{more}")
        return "\n".join([*lines, f"{self.training:,} examples an epoch, {self.validation:,} for validation"])

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "near_duplicates": self.near_duplicates, "broken": self.broken}

    def counts(self) -> dict[str, Any]:
        """Without the rows themselves: what is published does not quote what was left out."""
        values = self.to_dict()
        for corpus in values["corpora"]:
            del corpus["examples"], corpus["broken_first"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        corpora = [CorpusReport(**corpus) for corpus in values["corpora"]]
        return cls(corpora, values["training"], values["validation"], values.get("labels", {}))
