"""Words, marks and spaces of a text, and how much each word of a translation has of each word of its source.

Knows nothing of markup.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from service.messages import Alignment

# Of scripts without spaces each character is a word; an elided article of French is one, too.
_ATOM = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<word>[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
    r"|(?i:\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu)['’](?=[^\W\d_]{2}))"
    r"|[^\W_\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
    r"(?:[-'’.,@](?=\w)[^\W_\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+)*)"
    r"|(?P<mark>.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Atom:
    start: int
    end: int
    kind: Literal["word", "mark", "space"]


def atoms(text: str, whole: Iterable[tuple[int, int]] = ()) -> list[Atom]:
    """They join to the text. `whole` are spans that are a word each, in their order."""
    found: list[Atom] = []
    start = 0
    for first, last in [*whole, (len(text), len(text))]:
        found += [Atom(*each.span(), each.lastgroup) for each in _ATOM.finditer(text, start, first)]  # type: ignore[arg-type]
        if first < last:
            found.append(Atom(first, last, "word"))
        start = last
    return found


Shares = list[list[float]]  # of each target atom, over the source atoms


def shares(
    source: str, source_atoms: list[Atom], target: str, target_atoms: list[Atom], alignment: Alignment | None
) -> Shares:
    """Each row sums to 1, or is zeros where nothing is known of the atom. Spaces have no share."""
    if alignment is None or not alignment.target_tokens or not alignment.source_tokens:
        return _by_place(source, source_atoms, target, target_atoms)
    columns = list(_overlaps(source, source_atoms, alignment.source_tokens))
    rows = [[0.0] * len(source_atoms) for _ in target_atoms]
    for token, number, share in _overlaps(target, target_atoms, alignment.target_tokens):
        if target_atoms[number].kind == "space":
            continue
        row, weights = rows[number], alignment.weights[token]
        for column, place, part in columns:
            row[place] += share * part * weights[column]
    for row in rows:
        for place, atom in enumerate(source_atoms):
            if atom.kind == "space":
                row[place] = 0.0
    return [[weight / total for weight in row] if (total := sum(row)) > 0 else row for row in rows]


def _overlaps(text: str, found: list[Atom], tokens: Iterable[str]) -> Iterator[tuple[int, int, float]]:
    """Token, atom, and the share of the token's letters that lie in the atom.

    The tokens join to the text as the model read it, which may differ from it a little: then places are near.
    """
    pieces = list(tokens)
    joined = "".join(pieces)
    lead = len(joined) - len(joined.lstrip()) - max(text.find(joined.strip()), 0)
    ends = [end - lead for end in accumulate(map(len, pieces))]
    starts = [atom.start for atom in found]
    for token, (piece, end) in enumerate(zip(pieces, ends, strict=True)):
        bare = piece.lstrip()
        first, last = min(max(end - len(bare), 0), len(text)), min(max(end, 0), len(text))
        number = max(bisect_right(starts, first) - 1, 0)
        while first < last and number < len(found):
            stop = min(last, found[number].end)
            yield token, number, (stop - first) / len(bare)
            first, number = stop, number + 1


def _by_place(source: str, source_atoms: list[Atom], target: str, target_atoms: list[Atom]) -> Shares:
    """As if the translation said the same in the same places."""
    words = [number for number, atom in enumerate(source_atoms) if atom.kind != "space"]
    rows = [[0.0] * len(source_atoms) for _ in target_atoms]
    if not words:
        return rows
    targets = [number for number, atom in enumerate(target_atoms) if atom.kind != "space"]
    same = len(words) == len(targets)
    for place, number in enumerate(targets):
        if same:
            rows[number][words[place]] = 1.0
            continue
        scale = len(source) / len(target)
        atom = target_atoms[number]
        first, last = atom.start * scale, atom.end * scale
        for word in words:
            overlap = min(last, source_atoms[word].end) - max(first, source_atoms[word].start)
            rows[number][word] = max(overlap, 0.0)
        total = sum(rows[number])
        if total > 0:
            rows[number] = [weight / total for weight in rows[number]]
        else:
            middle = (first + last) / 2
            nearest = min(words, key=lambda word: abs((source_atoms[word].start + source_atoms[word].end) / 2 - middle))
            rows[number][nearest] = 1.0
    return rows
