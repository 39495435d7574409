"""What a stream tells of a request, token by token: its first result, part after part.

Parts run side by side; what a later one gives before its turn is kept. Knows nothing of threads and of answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isfinite

from models.tokenizer import IncrementalDetokenizer, Tokenizer
from service.engine.engine import Output
from service.engine.sequence import Sequence
from service.engine.stats import ANSWERED
from service.messages import Token, TopToken
from service.worker.results import finished_text, primed
from service.worker.stopping import StopWatch
from service.worker.tasks.task import Part


@dataclass(eq=False, slots=True)
class _Section:
    """The tokens of one part."""

    before: str  # what is told with the first text, in front of it
    part: Part
    sequence: Sequence
    detokenizer: IncrementalDetokenizer
    kept: deque[Output] = field(default_factory=deque)
    told: bool = False  # some of its text

    @property
    def whole(self) -> bool:
        """Its text is known at its end alone."""
        return self.part.whole or self.sequence.spec.beams is not None


class TokenStream:
    def __init__(self, request_id: str, parts: Iterable[tuple[Part, list[Sequence]]], tokenizer: Tokenizer) -> None:
        """Each part with its sequences. The end of a beam search is told as one token, whose log-probability is the
        score of the text."""
        self._request_id, self._tokenizer = request_id, tokenizer
        self._sections: deque[_Section] = deque()  # that are not told to their end
        self._index = 0  # of the next token
        self._after = ""  # what stands behind the last part
        for part, sequences in parts:
            self._after += part.before
            if sequences:
                self._sections.append(self._section(self._after, part, sequences[0]))
                self._after = ""
        self._of = {section.sequence.spec.id: section for section in self._sections}

    def _section(self, before: str, part: Part, sequence: Sequence) -> _Section:
        watch = sequence.spec.watch
        detokenizer, prefix = primed(self._tokenizer, sequence.spec.target_prefix)
        section = _Section(before, part, sequence, watch if isinstance(watch, StopWatch) else detokenizer)
        if prefix and not section.whole:  # it is a part of a whole text
            section.before, section.told = before + prefix, True
        return section

    def take(self, output: Output) -> Iterator[Token]:
        """What can be told now that the engine has told this."""
        section = self._of.get(output.sequence.spec.id)
        if section is None or (output.token is None and output.sequence.outcome not in ANSWERED):
            return
        section.kept.append(output)
        while self._sections and (kept := self._sections[0].kept):
            yield self._token(self._sections[0], kept.popleft())

    def _token(self, section: _Section, output: Output) -> Token:
        sequence = output.sequence
        text = self._whole_text(section, output) if section.whole else self._text(section, output)
        if text or output.last:
            text, section.before = section.before + text, ""
        if output.last:
            self._sections.popleft()
            if sequence.outcome == "stop_sequence":  # where the text ends, whatever follows
                self._sections.clear()
            elif not self._sections:
                text += self._after
        self._index += 1
        logprob = output.details.logprob
        if sequence.hypotheses and isfinite(sequence.hypotheses[0].score):
            logprob = sequence.hypotheses[0].score
        return Token(
            request_id=self._request_id,
            index=self._index - 1,
            id=sequence.output[-1] if output.token is None else output.token,
            text=text,
            logprob=logprob if logprob is not None else 0.0,
            special=_is_end(output),
            top_tokens=tuple(self._top_token(token, logprob) for token, logprob in output.details.best),
        )

    def _text(self, section: _Section, output: Output) -> str:
        assert output.token is not None, "a text that is not whole has tokens"
        text = "" if _is_end(output) else section.detokenizer.push(output.token)
        text += section.detokenizer.flush() if output.last else ""
        if section.part.finished is not None and not section.told:  # as finishing does it
            text = text.lstrip(" ")
        section.told |= bool(text)
        return text

    def _whole_text(self, section: _Section, output: Output) -> str:
        if not output.last:
            return ""
        watch = output.sequence.spec.watch
        stop = watch.stop if isinstance(watch, StopWatch) else ()
        return finished_text(self._tokenizer, output.sequence, 0, stop, section.part.finished)

    def _top_token(self, token: int, logprob: float) -> TopToken:
        text = self._tokenizer.decode([token])
        return TopToken(id=token, text=text, logprob=logprob, special=not text)


def _is_end(output: Output) -> bool:
    """Whether it is the end token."""
    return output.token is not None and output.last and output.sequence.spec.is_end(output.token)
