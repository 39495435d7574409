"""Plain text in blocks of the length that a generator reads: none is padded, and long documents go on in the next one.

A document is its start token, its ids and its end token. A block takes as many as fit, one behind the other, and
attention crosses them, as in GPT-3 (Brown et al. 2020, appendix B): no mask is needed, and the start token, which also
begins every prompt that is served, says that what is before it does not count. It is read, never scored
(`objectives`), so that losses compare with those of texts that are not packed. Knows nothing of texts or files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from models.training.data.rows import Passage

_Ids = list[int]


def blocks(passages: Iterable[tuple[Passage, _Ids]], longest: int, start: int, end: int) -> Iterator[_Ids]:
    """The ids behind the start token of each block, `longest` of them but in the last one.

    A passage that does not follow the one before it, which training may have left out, begins as a document does.
    """
    block: _Ids = []
    follows = None  # the passage that would go on with the document
    for passage, ids in passages:
        if block and passage[:2] != follows:
            block.append(start)
        block += [*ids, end] if passage.last else ids
        follows = (passage.document, passage.number + 1)
        done = 0
        while len(block) - done > longest:
            yield block[done : done + longest]
            done += longest
            if block[done] == start:  # every block has one in front
                done += 1
        block = block[done:]
    if block:
        yield block
