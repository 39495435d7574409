"""Word documents: each paragraph of the body, tables, headers, footers, notes and text boxes is a text.

Styles, numbering, images, fields, links, notes' marks and formatting within a paragraph stay: what is formatted
otherwise than most of its paragraph travels within a tag. A docx is an archive of XML parts, which are changed where a
text stands and nowhere else, so that no library's idea of the rest can lose any of it.
"""

from __future__ import annotations

import codecs
import html
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from xml.parsers import expat

from service.documents.document import Document, DocumentError, Piece, Source, check_marks
from service.documents.inline import Item, Kind, Syntax
from service.documents.runs import Runs

MAX_UNPACKED = 1 << 28  # bytes of all parts: an archive of a few kilobytes can hold any number
_PARTS = re.compile(r"word/(?:document|header\d*|footer\d*|footnotes|endnotes)\.xml")
_TOKEN = re.compile(
    r"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[.*?\]\]>|</[^>]*>"
    r"|<(?P<name>[^\s/>]+)(?:\s+[^\s=]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*(?P<empty>/)?>",
    re.DOTALL,
)
_AROUND = {"w:hyperlink", "w:ins", "w:moveTo", "w:smartTag", "w:sdt", "w:sdtContent", "w:fldSimple", "w:customXml"}
_TRIFLES = {"w:proofErr", "w:lastRenderedPageBreak", "w:softHyphen"}  # Word makes them anew
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_NO_FORMAT = re.compile(r"<w:(?:lang|noProof|proofErr)\b[^>]*/>")


@dataclass(slots=True)
class _Node:
    name: str
    start: int
    inner: int  # behind its start tag
    inner_end: int = 0
    end: int = 0
    children: list[_Node] = field(default_factory=list)

    def descendants(self) -> Iterator[_Node]:
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)


@dataclass(frozen=True)
class _Runs(Syntax):
    """Text stands in runs, each with the properties of what it is among, else with the paragraph's usual ones."""

    usual: str = ""

    def spelled(self, text: str, own: Mapping[str, str], bare: frozenset[str], opens: Sequence[Item]) -> str:
        properties = next((item.properties for item in reversed(opens) if item.properties is not None), self.usual)
        said = html.escape(_NOT_XML.sub("", text), quote=False)
        return f'<w:r>{properties}<w:t xml:space="preserve">{said}</w:t></w:r>'


def document(data: bytes, most_marks: int | None = None) -> Document:
    """DocumentError where it is no Word document, or too large to unpack.

    A paragraph has ten tags and more: so many times `most_marks` may there be.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if (size := sum(entry.file_size for entry in entries)) > MAX_UNPACKED:
                raise DocumentError(f"it unpacks to {size:,} bytes, the limit is {MAX_UNPACKED:,}")
            contents = [archive.read(entry) for entry in entries]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise DocumentError(f"it is no Word document: {error}") from None
    parts = [index for index, entry in enumerate(entries) if _PARTS.fullmatch(entry.filename)]
    if not any(entries[index].filename == "word/document.xml" for index in parts):
        raise DocumentError("it is no Word document: it has no word/document.xml")
    check_marks(sum(contents[index].count(b"<") for index in parts) // 10, most_marks)
    sources = [_source(entries[index].filename, contents[index]) for index in parts]

    def packed(texts: Sequence[str]) -> tuple[bytes, tuple[str, ...]]:
        written = dict(zip(parts, texts, strict=True))
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for index, entry in enumerate(entries):
                content = _encoded(written[index], contents[index]) if index in written else contents[index]
                archive.writestr(entry, content, compress_type=entry.compress_type)
        return file.getvalue(), ()

    return Document(sources, packed)


def _encoded(text: str, before: bytes) -> bytes:
    return (codecs.BOM_UTF8 if before.startswith(codecs.BOM_UTF8) else b"") + text.encode()


def _source(name: str, data: bytes) -> Source:
    if b"<!DOCTYPE" in data:
        raise DocumentError(f"{name} declares a document type, which no Word document does")
    try:
        expat.ParserCreate().Parse(data, True)
        xml = data.decode("utf-8-sig")
    except (expat.ExpatError, UnicodeDecodeError) as error:
        raise DocumentError(f"{name} is no XML: {error}") from None
    return Source(xml, pieces(name, xml))


def pieces(name: str, xml: str) -> list[Piece]:
    """Of a part: `xml` is well-formed."""
    runs = Runs(xml)
    for number, node in enumerate((node for node in _tree(xml).descendants() if node.name == "w:p"), start=1):
        usual = _usual(xml, node)
        for item in _merged(_items(xml, node, usual)):
            runs.add(item)
        runs.finish(place=f"{name}, paragraph {number}", syntax=_Runs(usual=usual))
    return [*runs.found]


def _tree(xml: str) -> _Node:
    root = _Node("", 0, 0)
    opens = [root]
    for token in _TOKEN.finditer(xml):
        if token[0].startswith("</"):
            opens[-1].inner_end, opens[-1].end = token.span()
            opens.pop()
        elif token["name"]:
            node = _Node(token["name"], token.start(), token.end(), token.end(), token.end())
            opens[-1].children.append(node)
            if not token["empty"]:
                opens.append(node)
    return root


def _usual(xml: str, paragraph: _Node) -> str:
    """The properties of most of what a paragraph says."""
    lengths: Counter[str] = Counter()
    for item in _items(xml, paragraph, None):
        if item.kind is Kind.SAID and item.properties is not None:
            lengths[item.properties] += len(item.said)
    return max(lengths, key=lambda each: lengths[each]) if lengths else ""


def _items(xml: str, node: _Node, usual: str | None) -> Iterator[Item]:
    for child in node.children:
        if child.name == "w:r":
            yield from _run(xml, child, usual)
        elif child.name in _AROUND:
            inner = next((each for each in child.children if each.name == "w:sdtContent"), child)
            tag = "a" if child.name == "w:hyperlink" else "span"
            yield Item(Kind.OPEN, child.start, inner.inner, name=tag)
            yield from _items(xml, inner, usual)
            yield Item(Kind.CLOSE, inner.inner_end, child.end, name=tag)
        elif child.name not in _TRIFLES and child.name != "w:pPr":
            yield Item(Kind.KEPT, child.start, child.end, name="img")


def _run(xml: str, run: _Node, usual: str | None) -> Iterator[Item]:
    """What a run says, within a tag unless it is formatted as usual; each other thing in it in a run of its own."""
    properties = "".join(xml[each.start : each.end] for each in run.children if each.name == "w:rPr")
    form = _NO_FORMAT.sub("", properties)
    properties = "" if form in ("<w:rPr></w:rPr>", "<w:rPr/>") else form
    contents = [each for each in run.children if each.name != "w:rPr" and each.name not in _TRIFLES]
    whole = Item(Kind.KEPT, run.start, run.end, name="img")
    for each in contents:
        if each.name == "w:t":
            said = html.unescape(xml[each.inner : each.inner_end])
            item = replace(whole, kind=Kind.SAID, name="", said=said, spelled=True, properties=properties)
            if usual is None or properties == usual:
                yield item
            else:
                opening = replace(whole, kind=Kind.OPEN, name="span", hidden=True, properties=properties)
                yield from (opening, item, replace(opening, kind=Kind.CLOSE))
        elif len(contents) == 1:
            yield whole
        else:
            tag = "br" if each.name in ("w:br", "w:cr") else "img"
            alone = f"<w:r>{properties}{xml[each.start : each.end]}</w:r>"
            yield replace(whole, name=tag, before=alone, hidden=True)


def _merged(items: Iterator[Item]) -> Iterator[Item]:
    """Runs beside each other that are formatted alike are one: Word parts them wherever somebody typed."""
    waiting: Item | None = None
    for item in items:
        alike = waiting is not None and item.hidden and item.properties == waiting.properties
        if waiting is not None and alike and item.kind is Kind.OPEN:
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = item if item.kind is Kind.CLOSE and item.hidden else None
        if waiting is None:
            yield item
    if waiting is not None:
        yield waiting
