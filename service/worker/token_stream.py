"""What a stream tells of a request, token by token: its first result, part after part.

Parts run side by side; what a later one gives before its turn is kept. Knows nothing of threads and of answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from models.tokenizer import IncrementalDetokenizer, Tokenizer
from service.engine.engine import Output
from service.engine.sequence import Sequence
from service.messages import Token, TopToken
from service.worker.results import primed
from service.worker.stopping import StopWatch
from service.worker.tasks.task import Part


@dataclass(eq=False, slots=True)
class _Section:
    """The tokens of one part."""

    before: str  # what is told with the first of them, in front of it
    sequence: Sequence
    detokenizer: IncrementalDetokenizer
    kept: deque[Output] = field(default_factory=deque)


class TokenStream:
    def __init__(self, request_id: str, parts: Iterable[tuple[Part, list[Sequence]]], tokenizer: Tokenizer) -> None:
        """Each part with its sequences; of a beam search there is nothing to tell before its end."""
        self._request_id, self._tokenizer = request_id, tokenizer
        self._sections: deque[_Section] = deque()  # that are not told to their end
        self._index = 0  # of the next token
        self._after = ""  # what stands behind the last part
        for part, sequences in parts:
            self._after += part.before
            if sequences and sequences[0].spec.beams is None:
                self._sections.append(self._section(self._after, sequences[0]))
                self._after = ""
        self._of = {section.sequence.spec.id: section for section in self._sections}

    def _section(self, before: str, sequence: Sequence) -> _Section:
        watch = sequence.spec.watch
        detokenizer, prefix = primed(self._tokenizer, sequence.spec.target_prefix)
        return _Section(before + prefix, sequence, watch if isinstance(watch, StopWatch) else detokenizer)

    def take(self, output: Output) -> Iterator[Token]:
        """What can be told now that the engine has told this."""
        section = self._of.get(output.sequence.spec.id)
        if section is None or output.token is None:
            return
        section.kept.append(output)
        while self._sections and (kept := self._sections[0].kept):
            yield self._token(self._sections[0], kept.popleft())

    def _token(self, section: _Section, output: Output) -> Token:
        assert output.token is not None
        special = output.last and output.sequence.outcome == "eos_token"
        text, section.before = section.before + ("" if special else section.detokenizer.push(output.token)), ""
        if output.last:
            text += section.detokenizer.flush()
            self._sections.popleft()
            if output.sequence.outcome == "stop_sequence":  # where the text ends, whatever follows
                self._sections.clear()
            elif not self._sections:
                text += self._after
        self._index += 1
        return Token(
            request_id=self._request_id,
            index=self._index - 1,
            id=output.token,
            text=text,
            logprob=output.logprob if output.logprob is not None else 0.0,
            special=special,
            top_tokens=tuple(self._top_token(token, logprob) for token, logprob in output.best),
        )

    def _top_token(self, token: int, logprob: float) -> TopToken:
        text = self._tokenizer.decode([token])
        return TopToken(id=token, text=text, logprob=logprob, special=not text)
