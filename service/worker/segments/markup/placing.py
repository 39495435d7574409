"""Where the tags of a sentence stand in its translation.

A pair goes around the words that come from the words it held: the contiguous span of the translation with the most of
them in it, within the span of the pair around it and beside those of its neighbours, so that nesting stays as it was.
Marks and spaces are in a pair or outside of it as they were. What has no words stays with the word beside it. Knows
nothing of how tags are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.messages import Alignment
from service.worker.segments.markup.marked import Kept, Marked, Place
from service.worker.segments.markup.projection import Projection


@dataclass(slots=True)
class _Node:
    """A pair, a point or the sentence: from `start` to `end` of the source, from atom `low` to `high` of the target."""

    start: int
    end: int
    opens: Place | None = None
    closes: Place | None = None
    is_pair: bool = True
    from_first: bool = False  # it was opened in a sentence before this one
    to_last: bool = False  # it is closed in one behind this one
    children: list[_Node] = field(default_factory=list)
    low: int = 0
    high: int = 0


def placed(sentence: Marked, translation: str, alignment: Alignment | None) -> list[tuple[int, int, Place]]:
    """What of the source goes where: in place of the characters from the first to the second number, in their order.

    Every tag of the sentence is there once, and every piece whose stand-in is; one that comes again is removed.
    """
    held, again = _held(sentence, translation)
    nothing = (sentence.place[0], sentence.place[0])
    found = [(start, end, 1, piece.place) for start, end, piece in held]
    found += [(start, end, 1, nothing) for start, end in again]
    if sentence.tags:
        same = [((piece.start, piece.end), (start, end)) for start, end, piece in held]
        cuts = [tag.offset for tag in sentence.tags]
        projection = Projection(sentence.text, translation, same, cuts, alignment)
        root = _tree(sentence)
        _place(root, sentence.text, projection)
        boundaries = [atom.start for atom in projection.target] + [len(translation)]
        found += [(boundaries[at], boundaries[at], 0, place) for at, place in _written(root)]
    found.sort(key=lambda each: each[:3])
    return [(start, end, place) for start, end, _, place in found]


def completed(sentence: Marked, translation: str) -> str:
    """With the stand-ins that are missing at its end."""
    there = {piece for _, _, piece in _held(sentence, translation)[0]}
    missing = [sentence.text[piece.start : piece.end] for piece in sentence.pieces if piece not in there]
    return " ".join([translation, *missing]) if missing else translation


def _held(sentence: Marked, translation: str) -> tuple[list[tuple[int, int, Kept]], list[tuple[int, int]]]:
    """Where the pieces' stand-ins are, and where they are once more."""
    if not sentence.pieces:
        return [], []
    of = {sentence.text[piece.start : piece.end]: piece for piece in sentence.pieces}
    names = "|".join(re.escape(name) for name in sorted(of, key=len, reverse=True))
    held: list[tuple[int, int, Kept]] = []
    again: list[tuple[int, int]] = []
    for found in re.finditer(rf"(?<![A-Za-z0-9])(?:{names})(?![A-Za-z0-9])", translation):
        piece = of.pop(found[0], None)
        if piece is None:
            again.append(found.span())
        else:
            held.append((*found.span(), piece))
    for found in re.finditer("|".join(map(re.escape, of)) or r"(?!)", translation):  # as a part of a word
        is_other = any(start < found.end() and found.start() < end for start, end, _ in held)
        if found[0] in of and not is_other:
            held.append((*found.span(), of.pop(found[0])))
    return sorted(held, key=lambda each: each[0]), again


def _tree(sentence: Marked) -> _Node:
    root = _Node(0, len(sentence.text))
    path = [root]
    for tag in sentence.tags:
        if tag.kind == "point":
            path[-1].children.append(_Node(tag.offset, tag.offset, opens=tag.place, is_pair=False))
        elif tag.kind == "open":
            node = _Node(tag.offset, len(sentence.text), opens=tag.place, to_last=tag.partner is None)
            path[-1].children.append(node)
            path.append(node)
        elif tag.partner is not None:
            node = path.pop()
            node.end, node.closes = tag.offset, tag.place
        else:  # all that is before it is in it
            node = _Node(0, tag.offset, closes=tag.place, from_first=True, children=root.children)
            root.children = [node]
    return root


def _written(root: _Node) -> Iterator[tuple[int, Place]]:
    """The tags in the order in which they are written, each with the atom it stands before."""
    stack: list[_Node | tuple[int, Place]] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            yield node
            continue
        if node.opens is not None:
            yield node.low, node.opens
        if node.closes is not None:
            stack.append((node.high, node.closes))
        stack += sorted(node.children, key=lambda child: (child.low, child.high))[::-1]


def _place(root: _Node, text: str, projection: Projection) -> None:
    root.low, root.high = 0, len(projection.target)
    nodes = [root]
    for node in nodes:  # those below are added behind
        _place_pairs(node, text, projection)
        _place_points(node, text, projection)
        nodes += [child for child in node.children if child.is_pair and child.children]


def _place_pairs(node: _Node, text: str, projection: Projection) -> None:
    pairs = [child for child in node.children if child.is_pair and text[child.start : child.end].strip()]
    if len(pairs) == 1 and not (text[node.start : pairs[0].start] + text[pairs[0].end : node.end]).strip():
        pairs[0].low, pairs[0].high = node.low, node.high
        return
    free = [node.low <= number < node.high for number in range(len(projection.target))]
    spans = [projection.span(pair.start, pair.end, free) for pair in pairs]

    def order(number: int) -> tuple[bool, float]:
        pair, span = pairs[number], spans[number]
        return not (pair.from_first or pair.to_last), -(span.score if span else 0.0)

    for number in sorted(range(len(pairs)), key=order):
        pair, span = pairs[number], spans[number]
        if span is None or not all(free[span.low : span.high]):
            span = projection.span(pair.start, pair.end, free)
        if span is None and (pair.from_first or pair.to_last):
            low = high = node.low if pair.from_first else node.high
        elif span is None:
            low, high = projection.near(pair.start, pair.end, (node.start, node.end), (node.low, node.high), free)
        else:
            low, high = projection.with_marks(pair.start, pair.end, span, free)
        if pair.from_first:
            low = node.low
        if pair.to_last:
            high = node.high
        pair.low, pair.high = low, high
        free[low:high] = [False] * (high - low)


def _place_points(node: _Node, text: str, projection: Projection) -> None:
    """What has no words: points, and pairs around nothing or around a space."""
    taken = [(number, child) for number, child in enumerate(node.children) if child.low < child.high]
    for number, child in enumerate(node.children):
        if child.is_pair and text[child.start : child.end].strip():
            continue
        at = projection.beside(child.start, (node.start, node.end), (node.low, node.high))
        for other, pair in taken:
            if pair.low < at < pair.high:
                at = pair.low if number < other else pair.high
        child.low = child.high = at
        if child.is_pair and child.start < child.end:
            child.low, child.high = _around_space(at, node, projection, [pair for _, pair in taken])
            if child.low < child.high:
                taken.append((number, child))


def _around_space(at: int, node: _Node, projection: Projection, taken: list[_Node]) -> tuple[int, int]:
    """The space behind the place, or else before it, if nobody has it."""
    for low in (at, at - 1):
        is_free = not any(pair.low <= low < pair.high for pair in taken)
        if node.low <= low < node.high and is_free and projection.target[low].kind == "space":
            return low, low + 1
    return at, at
