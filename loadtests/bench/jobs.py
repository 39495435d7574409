"""What a contender is asked to do, and what can be asked: the words that ours and the peers share. No torch here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

Ids = list[int]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Prompts that are there from the start, and how they are to be answered."""

    prompts: Sequence[Ids]
    in_flight: int  # how many may be worked on at once
    max_new_tokens: int
    exact: bool  # outputs have exactly `max_new_tokens`; else they end with the end token
    beams: int = 1  # 1 is greedy

    @property
    def search(self) -> str:
        return "greedy" if self.beams == 1 else f"beam {self.beams}"

    def by_length(self) -> Iterator[list[int]]:
        """Batches of the prompts' numbers, the shortest prompts first, so that little is padded."""
        order = sorted(range(len(self.prompts)), key=lambda n: len(self.prompts[n]))
        return (order[start : start + self.in_flight] for start in range(0, len(order), self.in_flight))

    def warm_up(self) -> Job:
        """The first batch and a few tokens."""
        return replace(self, prompts=self.prompts[: self.in_flight], max_new_tokens=min(self.max_new_tokens, 4))


@dataclass(frozen=True, kw_only=True)
class Room:
    """The most that any job of a workload asks for."""

    prompt_tokens: int
    new_tokens: int


class Contender(Protocol):
    def run(self, job: Job) -> list[Ids]:
        """One output a prompt, without the prompt and the end token; a classifier's is its best label."""


_MODULES = {
    "triptych": "loadtests.bench.engines",
    "ctranslate2": "loadtests.peers.ctranslate2_peer",
    "openvino": "loadtests.peers.openvino_peer",
    "transformers": "loadtests.peers.transformers_peer",
}


@dataclass(frozen=True)
class Entry:
    """Which contender, in which number format."""

    engine: str  # one of `_MODULES`
    format: str
    by_tokens: bool = False  # batches of as many tokens as `in_flight` average prompts have
    listed: bool = False  # outputs have tokens alone that the workload's table gives for a prompt

    @property
    def label(self) -> str:
        return self.format + (", by tokens" if self.by_tokens else "") + (", shortlist" if self.listed else "")

    def opener(self) -> Callable[[Entry, Path, Room, int], Contender]:
        """What opens it, given a directory and threads. Loads the contender's own libraries, and nobody else's."""
        return importlib.import_module(_MODULES[self.engine]).open_model


def padded(rows: Sequence[Ids], fill: int, *, left: bool = False) -> tuple[list[Ids], list[Ids]]:
    """Rows of equal length, and their masks: 1 for a row's own tokens."""
    longest = max(map(len, rows))

    def pad(row: Ids, value: int) -> Ids:
        gap = [value] * (longest - len(row))
        return gap + row if left else row + gap

    return [pad(row, fill) for row in rows], [pad([1] * len(row), 0) for row in rows]
