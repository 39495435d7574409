"""Plain text in blocks of the length that a generator reads: none is padded, and long documents go on in the next one.

A document is its start token, its ids and its end token. A block takes as many as fit, one behind the other, and
attention crosses them, as in GPT-3 (Brown et al. 2020, appendix B): no mask is needed, and the start token, which also
begins every prompt that is served, says that what is before it does not count. It is read, never scored
(`objectives`), so that losses compare with those of texts that are not packed. Knows nothing of tokenizers or files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from models.training.data.readers import Record
from models.training.data.rows import Passage, Sample, TextRow
from models.training.sections import Corpus

PASSAGE = 2000  # characters of a packed document that are cleaned and held out as one text
_Ids = list[int]


def passages(corpus: Corpus, records: Iterator[Record]) -> Iterator[Sample]:
    """Consecutive lines of a document as one text, cut behind the line with which it has PASSAGE characters.

    Only plain text has documents of many lines; elsewhere each row is one.
    """
    many = not corpus.files and corpus.layout == "text"
    documents = groupby(enumerate(records), lambda each: each[1].document if many else each[0])
    for document, (_, members) in enumerate(documents):
        lines: list[Record] = []
        number = size = 0
        for _, record in members:
            if size >= PASSAGE:
                yield _passage(lines, Passage(document, number, False))
                lines, number, size = [], number + 1, 0
            lines.append(record)
            size += len(record.values["text"])
        yield _passage(lines, Passage(document, number, True))


def _passage(lines: list[Record], passage: Passage) -> Sample:
    text = " ".join(record.values["text"] for record in lines)
    return Sample((TextRow("", text, passage=passage),), {"text": text}, "", lines[0].line, lines[0].group)


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
