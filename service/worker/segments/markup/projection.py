"""Which words of a translation come from which of its source, by what the model looked at when it wrote them.

Knows nothing of markup.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from service.messages import Alignment
from service.worker.segments.markup.words import Atom, atoms, shares

_LIKELY = 0.5  # the share of a word that makes it one of what it is looked for
_EDGE = 0.85  # the share of one at either end of it, where articles and prepositions are that have some of every word
_BEST = 0.3  # what it counts more where of all words this is the one that another went to
_POSSIBLE = 0.15  # the share that does, where no word has a better one
_SAME = 5  # letters that a word has at least that is the same in both languages for no other reason


@dataclass(frozen=True, slots=True)
class Span:
    low: int  # atoms of the target
    high: int
    score: float


class Projection:
    def __init__(
        self,
        source: str,
        target: str,
        same: Sequence[tuple[tuple[int, int], tuple[int, int]]],
        cuts: Iterable[int],
        alignment: Alignment | None,
    ) -> None:
        """`same` are spans of the source with those of the target that they became, each of them a word.

        `cuts` are places in the source: a word that is in the target as it was can be cut there, no other can.
        """
        self._text, self._translation = source, target
        words = atoms(source, [first for first, _ in same])
        places = sorted(set(cuts))
        self.source = [part for atom in words for part in _parts(atom, places)]
        self.target = atoms(target, sorted(second for _, second in same))
        self._starts = [atom.start for atom in self.source]
        self._shares = shares(source, self.source, target, self.target, alignment)
        self._leave_out(same)
        self._origins = self._same_words(words, {second: first for first, second in same})
        self._cut_same()
        self._best = self._best_of_each()
        self._of_its_kind = [  # what a word has of words, and a mark of marks
            sum(share for share, of in zip(row, self.source, strict=True) if of.kind == atom.kind)
            for atom, row in zip(self.target, self._shares, strict=True)
        ]
        self._scores: dict[tuple[int, int], list[float]] = {}

    def span(self, start: int, end: int, free: Sequence[bool]) -> Span | None:
        """The contiguous `free` atoms of the target that have most of the source from `start` to `end`, and least of
        anything else; None where none has any of it."""
        scores = self._scored(start, end)
        best: Span | None = None
        total, low = 0.0, 0
        for number, score in enumerate(scores):
            if not free[number]:
                total = 0.0
                continue
            if total <= 0.0:
                total, low = 0.0, number
            total += score
            if total > (best.score if best else 0.0):
                best = Span(low, number + 1, total)
        if best is None:
            possible = [number for number, score in enumerate(scores) if free[number] and score > _POSSIBLE - _LIKELY]
            words = [number for number in possible if self.target[number].kind == "word"]
            if words:
                number = max(words, key=lambda number: scores[number])
                best = Span(number, number + 1, 0.0)
        return best and self._without_doubtful(best, scores)

    def _without_doubtful(self, span: Span, scores: list[float]) -> Span:
        """The span without words at its ends that are less likely than others of it."""
        most = min(max(scores[span.low : span.high]), _EDGE - _LIKELY)
        certain = [number for number in range(span.low, span.high) if scores[number] >= most]
        return Span(certain[0], certain[-1] + 1, span.score)

    def with_marks(self, start: int, end: int, span: Span, free: Sequence[bool]) -> tuple[int, int]:
        """The atoms of the span with the marks and spaces at its ends that are at those of the source."""
        within = self.source[self._at(start) : self._at(end - 1) + 1]
        kind = "word" if any(atom.kind == "word" for atom in within) else "mark"
        words = [number for number, atom in enumerate(within) if atom.kind == kind]
        low, high = span.low, span.high
        while low + 1 < high and self.target[low].kind != kind:
            low += 1
        while low + 1 < high and self.target[high - 1].kind != kind:
            high -= 1
        low = self._extended(low - 1, -1, within[: words[0]][::-1], free) + 1
        high = self._extended(high, 1, within[words[-1] + 1 :], free)
        return low, high

    def near(
        self, start: int, end: int, source: tuple[int, int], target: tuple[int, int], free: Sequence[bool]
    ) -> tuple[int, int]:
        """The free word in the relatively same place; where there is none, a place between two atoms."""
        middle = self._relative((start + end) / 2, source, target)
        words = [number for number in range(*target) if free[number] and self.target[number].kind == "word"]
        if words:
            number = min(words, key=lambda number: abs(self._middle(number) - middle))
            return number, number + 1
        ends = [self.target[number].start for number in range(*target)]
        at = target[0] + bisect_right(ends, middle)
        while at < target[1] and not free[at]:
            at += 1
        return at, at

    def beside(self, place: int, source: tuple[int, int], target: tuple[int, int]) -> int:
        """Before which atom of the target that stands which stands at a place of the source, beside what it touches.

        `source` is what it is in, and `target` the atoms of that.
        """
        if place == source[0]:
            return target[0]
        if place == source[1]:
            return target[1]
        at = self._at(place)
        free = [target[0] <= number < target[1] for number in range(len(self.target))]
        behind = not self._text[place - 1].isspace()
        for step in (-1, 1) if behind else (1, -1):
            number = at - 1 if step < 0 and self.source[at].start == place else at
            between: list[Atom] = []
            while 0 <= number < len(self.source) and self.source[number].kind != "word":
                between.append(self.source[number])
                number += step
            if not 0 <= number < len(self.source):
                continue
            atom = self.source[number]
            first, last = max(atom.start, source[0]), min(atom.end, source[1])
            if step < 0:
                last = min(last, place)
            else:
                first = max(first, place)
            found = self.span(first, last, free) if first < last else None
            if found is not None:
                if step < 0:
                    return self._extended(found.high, 1, between[::-1], free)
                return self._extended(found.low - 1, -1, between[::-1], free) + 1
        middle = self._relative(place, source, target)
        return min(range(target[0], target[1] + 1), key=lambda number: abs(self._edge(number) - middle))

    def _at(self, place: int) -> int:
        """The atom of the source that a character is in."""
        return max(bisect_right(self._starts, place) - 1, 0)

    def _edge(self, number: int) -> int:
        return self.target[number].start if number < len(self.target) else len(self._translation)

    def _middle(self, number: int) -> float:
        return (self.target[number].start + self.target[number].end) / 2

    def _relative(self, place: float, source: tuple[int, int], target: tuple[int, int]) -> float:
        low, high = self._edge(target[0]), self._edge(target[1])
        return low + (high - low) * (place - source[0]) / max(source[1] - source[0], 1)

    def _extended(self, number: int, step: int, wanted: Sequence[Atom], free: Sequence[bool]) -> int:
        """The first atom from `number` on that is none of the marks and spaces that are wanted there."""

        def is_free(number: int, kind: str) -> bool:
            return 0 <= number < len(self.target) and free[number] and self.target[number].kind == kind

        for atom in wanted:
            if is_free(number, atom.kind):
                number += step
            elif atom.kind == "mark" and is_free(number, "space") and is_free(number + step, "mark"):
                number += 2 * step
        return number

    def _scored(self, start: int, end: int) -> list[float]:
        """How much each atom of the target speaks for being in what comes from there: above 0 for those that are."""
        if (start, end) not in self._scores:
            first, last = self._at(start), self._at(end - 1) + 1
            has_words = any(self.source[number].kind == "word" for number in range(first, last))
            kind = "word" if has_words else "mark"
            inside = {number for number in range(first, last) if self.source[number].kind == kind}
            scores = [
                self._score(number, start, end, inside) if atom.kind == kind else 0.0
                for number, atom in enumerate(self.target)
            ]
            for number, atom in enumerate(self.target[:-1]):
                if kind == "word" and self._translation[atom.end - 1] in "'’":  # elided: its word is the next one
                    scores[number + 1] = max(scores[number : number + 2])
            self._scores[start, end] = scores
        return self._scores[start, end]

    def _score(self, number: int, start: int, end: int, inside: set[int]) -> float:
        origin = self._origins.get(number)
        if origin is not None:
            return (1.0 if start <= origin[0] and origin[1] <= end else 0.0) - _LIKELY
        row = self._shares[number]
        share = sum(row[each] * _overlap(self.source[each], start, end) for each in inside)
        share /= self._of_its_kind[number] or 1.0
        best = sum(_overlap(self.source[each], start, end) for each in inside if self._best.get(each) == number)
        return share - _LIKELY + (_BEST * min(best, 1.0) if share > _POSSIBLE else 0.0)

    def _leave_out(self, same: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> None:
        """No other word comes from one whose place in the target is known."""
        sources, targets = {first for first, _ in same}, {second for _, second in same}
        left_out = [number for number, atom in enumerate(self.source) if (atom.start, atom.end) in sources]
        for atom, row in zip(self.target, self._shares, strict=True):
            if left_out and (atom.start, atom.end) not in targets:
                for number in left_out:
                    row[number] = 0.0
                total = sum(row)
                row[:] = [share / total for share in row] if total > 0.0 else row

    def _same_words(
        self, words: list[Atom], known: dict[tuple[int, int], tuple[int, int]]
    ) -> dict[int, tuple[int, int]]:
        """Of the atoms of the target that are in the source as they are, where they are there."""
        of: dict[str, list[Atom]] = {}
        for atom in words:
            of.setdefault(self._text[atom.start : atom.end], []).append(atom)
        times = Counter(self._translation[atom.start : atom.end] for atom in self.target)
        origins: dict[int, tuple[int, int]] = {}
        for number, atom in enumerate(self.target):
            text, row = self._translation[atom.start : atom.end], self._shares[number]
            if (atom.start, atom.end) in known:
                origins[number] = known[atom.start, atom.end]
            elif atom.kind != "space" and text in of:
                best = self.source[max(range(len(row)), key=lambda each: row[each])]
                place = next((each for each in of[text] if each.start <= best.start and best.end <= each.end), None)
                if place is None and len(of[text]) == times[text] == 1 and _is_a_name(text):
                    place = of[text][0]
                if place is not None:
                    origins[number] = (place.start, place.end)
        return origins

    def _cut_same(self) -> None:
        """Atoms of the target that are in the source as they are become several, where those there are cut."""
        target: list[Atom] = []
        rows: list[list[float]] = []
        origins: dict[int, tuple[int, int]] = {}
        for number, atom in enumerate(self.target):
            origin = self._origins.get(number)
            within = [] if origin is None else self.source[self._at(origin[0]) : self._at(origin[1] - 1) + 1]
            if origin is not None and len(within) > 1 and origin[1] - origin[0] == atom.end - atom.start:
                for part in within:
                    origins[len(target)] = (part.start, part.end)
                    start = atom.start + part.start - origin[0]
                    target.append(Atom(start, start + part.end - part.start, atom.kind))
                    rows.append(self._shares[number])
                continue
            if origin is not None:
                origins[len(target)] = origin
            target.append(atom)
            rows.append(self._shares[number])
        self.target, self._shares, self._origins = target, rows, origins

    def _best_of_each(self) -> dict[int, int]:
        """The atom of the target that has most of each of the source."""
        best: dict[int, int] = {}
        for number, row in enumerate(self._shares):
            for place, share in enumerate(row):
                if share > 0.0 and (place not in best or share > self._shares[best[place]][place]):
                    best[place] = number
        return best


def _parts(atom: Atom, cuts: list[int]) -> list[Atom]:
    """The atom, cut where there is a place within it."""
    within = cuts[bisect_right(cuts, atom.start) : bisect_left(cuts, atom.end)]
    places = [atom.start, *within, atom.end]
    return [Atom(start, end, atom.kind) for start, end in pairwise(places)]


def _is_a_name(text: str) -> bool:
    """What is the same in two languages for no other reason than that it is the same thing."""
    return len(text) >= _SAME or text[0].isupper() or any(map(str.isdigit, text))


def _overlap(atom: Atom, start: int, end: int) -> float:
    return max(min(end, atom.end) - max(start, atom.start), 0) / (atom.end - atom.start)
