"""Tokens to runs of text: which elements are open, what ends a run, and what is left alone.

What HTML lets be left out is no error; what makes browsers guess is. Knows nothing of sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.messages import Elements
from service.worker.segments.markup import elements
from service.worker.segments.markup.errors import Format, malformed
from service.worker.segments.markup.marked import Marked, Tag
from service.worker.segments.markup.run import Run
from service.worker.segments.markup.tokens import Attribute, Token, tokens

# What an element is in the run it stands in: its end, a pair of tags, a piece that stands for a word or a picture, a
# place; or nothing, where nothing is translated.
_Role = Literal["block", "inline", "word", "picture", "point", "none"]
_NO_TEXT = " \t\r\n\ufeff"  # the last is the mark of the byte order
_APART = ("word", "picture", "point")  # with a run of their own inside


@dataclass(slots=True)
class _Element:
    name: str
    start: int
    role: _Role
    translated: bool
    preserved: bool
    in_svg: bool
    run: Run  # in which it stands
    tag: int = -1  # its number there


def runs(text: str, format: Format, known: Elements = Elements()) -> list[Marked]:
    """In no order: those within others come first. Raises InvalidRequest where the markup is malformed."""
    return _Reading(text, format, known).read()


class _Reading:
    def __init__(self, text: str, format: Format, known: Elements) -> None:
        self._text, self._format, self._known = text, format, known
        self._open: list[_Element] = []
        self._runs: list[Run] = [self._new_run()]  # the innermost last
        self._found: list[Marked] = []
        self._tokens = list(tokens(text, format))
        self._in_text = _in_text(self._tokens, text) if format == "xml" else frozenset()

    def read(self) -> list[Marked]:
        for number, token in enumerate(self._tokens):
            match token.kind:
                case "text":
                    if self._translated:
                        self._run.add_text(token.start, token.stop, preserved=self._preserved)
                case "aside":
                    if self._translated:
                        self._run.add_point((token.start, token.stop))
                case "code":
                    if self._translated:
                        self._run.add_piece((token.start, token.stop), is_word=True)
                case "close":
                    self._close(token)
                case "open" | "empty":
                    self._start(number, token)
        while self._open:
            if not self._may_be_left_out(self._open[-1].name):
                raise self._never_closed(self._open[-1])
            self._end(len(self._text), len(self._text))
        self._end_run()
        return self._found

    @property
    def _run(self) -> Run:
        return self._runs[-1]

    @property
    def _translated(self) -> bool:
        return self._open[-1].translated if self._open else True

    @property
    def _preserved(self) -> bool:
        return self._open[-1].preserved if self._open else False

    @property
    def _in_svg(self) -> bool:
        return self._open[-1].in_svg if self._open else False

    def _start(self, number: int, token: Token) -> None:
        if self._format == "html":
            while self._open and self._open[-1].name in elements.ended_by(token.name):
                self._end(token.start, token.start)
        values = {each.name: self._text[each.start : each.stop] for each in token.attributes}
        name = _local(token.name)
        was = self._translated
        translated = self._is_translated(name, values, was)
        role = self._role(number, name, was, translated)
        if role == "block":
            self._end_run()
        if translated:
            self._attributes(name, token.attributes, values)
        place = (token.start, token.stop)
        if token.kind == "empty":
            if role in ("point", "inline"):
                self._run.add_point(place)
            elif role in _APART:
                self._run.add_piece(place, is_word=role == "word")
            return
        tag = (
            self._run.add_tag(Tag(len(self._run.text), place, "open", is_link=name == "a")) if role == "inline" else -1
        )
        space = values.get("xml:space")
        preserved = space == "preserve" if space else self._preserved or name in elements.PRESERVED
        in_svg = self._in_svg or name == "svg"
        self._open.append(_Element(token.name, token.start, role, translated, preserved, in_svg, self._run, tag))
        if role in _APART:
            self._runs.append(self._new_run())

    def _close(self, token: Token) -> None:
        inner = self._open[-1].name if self._open else ""
        while self._open and self._open[-1].name != token.name and self._may_be_left_out(self._open[-1].name):
            self._end(token.start, token.start)
        if not self._open or self._open[-1].name != token.name:
            why = f"</{token.name}> closes nothing" + (f", <{inner}> is open" if inner else "")
            raise malformed(self._text, self._format, token.start, why)
        self._end(token.start, token.stop)

    def _end(self, start: int, stop: int) -> None:
        """Of the innermost element, by what stands from `start` to `stop`."""
        element = self._open.pop()
        if element.role in _APART:
            self._end_run()
            self._runs.pop()
        if element.role == "point":
            self._run.add_point((element.start, stop))
        elif element.role in _APART:
            self._run.add_piece((element.start, stop), is_word=element.role == "word")
        elif element.role == "block":
            self._end_run()
        elif element.role == "inline":
            same = element.run is self._run
            self._run.close((start, stop), element.tag if same else None)
            if same and element.name in ("sup", "sub"):
                self._fold_note(element, stop)

    def _fold_note(self, element: _Element, stop: int) -> None:
        """The number of a note, or a power, is no part of the word before it."""
        if self._text[stop : stop + 1].isalnum():
            return
        text, offset = self._run.text, self._run.tags[element.tag].offset
        if not any(text[place].isalpha() for place in range(offset, len(text))):
            self._run.fold(element.tag)

    def _end_run(self) -> None:
        if self._run.text:
            self._found.append(self._run.marked())
        self._runs[-1] = self._new_run()

    def _new_run(self) -> Run:
        return Run(self._text, self._format)

    def _attributes(self, element: str, attributes: tuple[Attribute, ...], values: dict[str, str]) -> None:
        for attribute in attributes:
            if attribute.start < attribute.stop and elements.is_text(element, attribute.name, values):
                run = Run(self._text, self._format, attribute.quote)
                run.add_text(attribute.start, attribute.stop)
                self._found.append(run.marked())

    def _is_translated(self, name: str, values: dict[str, str], was: bool) -> bool:
        if name in self._known.kept:
            return False
        said = values.get("translate", values.get("its:translate"))
        if said is not None and said.lower() in ("yes", "no", ""):
            return said.lower() != "no"
        if "notranslate" in values.get("class", "").split() or name in elements.NOT_TRANSLATED:
            return False
        return was or (name in elements.TRANSLATED and self._in_svg)

    def _role(self, number: int, name: str, was: bool, translated: bool) -> _Role:
        if not was:
            return "block" if translated else "none"
        if name in self._known.blocks:
            return "block"
        if name in elements.INVISIBLE:
            return "point"
        if name in elements.PICTURES:
            return "picture"
        if not self._is_inline(number, name):
            return "block"
        token = self._tokens[number]
        if not translated:
            return "word"
        return "picture" if token.kind == "empty" else "inline"

    def _is_inline(self, number: int, name: str) -> bool:
        if name in self._known.inlines:
            return True
        if name in elements.BLOCKS:
            return False
        if self._format == "html" or number in self._in_text:
            return True
        parent = _local(self._open[-1].name) if self._open else "p"
        return name in elements.INLINES and parent in elements.BLOCKS | elements.INLINES

    def _may_be_left_out(self, name: str) -> bool:
        return self._format == "html" and name in elements.OPTIONAL_END

    def _never_closed(self, element: _Element) -> Exception:
        return malformed(self._text, self._format, element.start, f"<{element.name}> is never closed")


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()


def _in_text(found: list[Token], text: str) -> frozenset[int]:
    """The numbers of the start tags that have text beside them."""
    parents: list[list[int]] = [[]]  # of each open element, its children's
    has_text = [False]
    inline: set[int] = set()
    for number, token in enumerate(found):
        match token.kind:
            case "text":
                has_text[-1] = has_text[-1] or bool(text[token.start : token.stop].strip(_NO_TEXT))
            case "code":
                has_text[-1] = True
            case "empty":
                parents[-1].append(number)
            case "open":
                parents[-1].append(number)
                parents.append([])
                has_text.append(False)
            case "close":
                children = parents.pop()
                if has_text.pop():
                    inline.update(children)
                if not parents:
                    break  # a tag that closes nothing is said by whoever reads on
    if parents and has_text[0]:
        inline.update(parents[0])
    return frozenset(inline)
