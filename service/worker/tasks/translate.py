"""Sources in one language that the model writes in another, sentence by sentence."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Self

from models.confidence import ConfidenceCurve, curves_in
from models.formats import TRANSLATION, Format
from models.shortlist import Tokens
from service.engine.constraints import Phrase
from service.engine.loops import LoopGuard
from service.engine.sequence import Sequence, SequenceSpec
from service.errors import EmptyInput, InvalidRequest, UnknownLanguagePair
from service.messages import Completion, Confidence, Request, Timing, TranslateRequest
from service.worker.decoding import Lengths, align_layer_of, can_search, lengths_of, within_tokens
from service.worker.results import alignment_of, finished_text, mean_logprob
from service.worker.segments.capitals import in_capitals, lowered
from service.worker.segments.cutting import fitting
from service.worker.segments.glossary import Glossary
from service.worker.segments.markup.document import Document, Translated, parsed, spans
from service.worker.segments.markup.marked import Marked
from service.worker.segments.protection import Hidden, hide, protected
from service.worker.segments.segmentation import Segment, segmented
from service.worker.segments.wanted import Wanted
from service.worker.tasks.completions import Completing
from service.worker.tasks.joining import Completed, between, joined, put_together
from service.worker.tasks.task import EndedPart, Part

MOST_SAID = 100  # language pairs, in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedPart(Part):
    sentence: Marked
    wanted: Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPart(Part):
    document: Document


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with stand-ins, and how the model reads it."""

    text: str
    language: str
    stand_ins: Collection[str]
    capitals: bool

    @classmethod
    def of(cls, request: TranslateRequest, text: str, stand_ins: Collection[str]) -> Self:
        capitals = request.capitals and in_capitals(text, stand_ins)
        return cls(text, request.source_language, stand_ins, capitals)

    def read(self, part: str) -> str:
        return lowered(part, self.language, self.stand_ins) if self.capitals else part


class Translate(Completing):
    REQUEST: ClassVar[type[Request]] = TranslateRequest
    FORMAT: ClassVar[Format] = TRANSLATION
    SPLITS = True

    def check_checkpoint(self) -> None:
        super().check_checkpoint()
        curves_in(self.manifest.scores)

    @cached_property
    def _curves(self) -> dict[str, ConfidenceCurve]:
        return curves_in(self.manifest.scores)

    @cached_property
    def _pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset(self.manifest.language_pairs)

    def streams(self, request: TranslateRequest) -> bool:
        return request.format == "text"  # a document is put together at its end

    def texts(self, request: TranslateRequest) -> dict[str, str]:
        return {"the text": request.text, "target_prefix": request.target_prefix}

    def whole_texts(self, request: TranslateRequest) -> dict[str, str]:
        texts = self.texts(request)
        return texts if request.split == "none" else {"target_prefix": texts["target_prefix"]}

    def prepare(self, request: TranslateRequest) -> list[Part]:
        """One for each sentence, and one for what stands behind the last: all, of a text in its target language."""
        pair = (request.source_language, request.target_language)
        if pair not in self._pairs and request.source_language == request.target_language:
            return [Part(before=request.text)]
        if pair not in self._pairs:
            served = ", ".join("-".join(each) for each in self.manifest.language_pairs[:MOST_SAID])
            raise UnknownLanguagePair(f"no translation for {'-'.join(pair)}; available: {served}")
        if not request.text.strip():
            raise EmptyInput("the text is empty")
        aligns = self.config.capabilities.alignment_layers > 0
        if request.glossary and not aligns and not can_search(request.decoding):
            raise InvalidRequest(
                "glossary does not go with sampling, stop and top_n_tokens: of this model it takes a beam search",
                parameter="glossary",
            )
        glossary = Glossary(request.glossary)
        return self._of_markup(request, glossary) if request.format != "text" else self._of_text(request, glossary)

    def _of_text(self, request: TranslateRequest, glossary: Glossary) -> list[Part]:
        pieces = protected(request.text) if request.protect else ()
        found = segmented(request.text, request.source_language, request.split, pieces)
        parts: list[Part] = []
        for segment in found.segments:
            hidden = hide(segment.text, segment.pieces, request.text)
            sentence = Sentence.of(request, hidden.text, [stand_in for stand_in, _ in hidden.originals])
            for piece, prompt in self._pieces(request, segment.before, sentence):
                wanted = Wanted(hidden.within(piece.text), tuple(glossary.terms(piece.text)), sentence.capitals)
                before = between(piece.before, request.target_language) if parts else piece.before
                source = wanted.hidden.restored(piece.text)
                prefix = self._prefix(request, "" if parts else request.target_prefix)
                parts.append(Part(before=before, source=source, **self._fields(request, prompt, prefix, wanted)))
        return [*parts, Part(before=found.after)]

    def _of_markup(self, request: TranslateRequest, glossary: Glossary) -> list[Part]:
        """The last part puts the document together."""
        assert request.format != "text", "that has no markup"
        document = parsed(
            request.text,
            request.format,
            request.source_language,
            request.split,
            protect=request.protect,
            known=request.elements,
        )
        parts: list[Part] = []
        for sentence in document.sentences:
            read = Sentence.of(
                request, sentence.text, [sentence.text[each.start : each.end] for each in sentence.pieces]
            )
            pieces = list(self._pieces(request, "", read))
            marked = sentence.parts(spans(piece for piece, _ in pieces)) if len(pieces) > 1 else [sentence]
            for one, (_, prompt) in zip(marked, pieces, strict=True):
                stand_ins = tuple((one.text[piece.start : piece.end],) * 2 for piece in one.pieces)
                wanted = Wanted(Hidden(one.text, stand_ins), tuple(glossary.terms(one.text)), read.capitals)
                prefix = self._prefix(request, "" if parts else request.target_prefix)
                fields = self._fields(request, prompt, prefix, wanted, aligned=bool(one.tags))
                parts.append(MarkedPart(source=one.text, sentence=one, wanted=wanted, **fields))
        return [*parts, DocumentPart(document=document)]

    def _fields(
        self, request: TranslateRequest, prompt: list[int], prefix: list[int], wanted: Wanted, aligned: bool = False
    ) -> dict[str, Any]:
        """Of a sentence's part. `aligned`: the alignment is needed whatever the translation has."""
        return {
            "specs": self._specs_of(request, prompt, prefix, wanted, aligned or wanted.aligned),
            "finished": partial(wanted.finished, before=self.tokenizer.decode(prefix)),
            "whole": bool(wanted),
        }

    def _prefix(self, request: TranslateRequest, target_prefix: str) -> list[int]:
        given = self.tokenizer.target.encode(self._normalized("target_prefix", target_prefix))
        within_tokens("target_prefix", given, self.limits.max_new_tokens - 1)
        return [*self.format.beginning(self.tokenizer, request.target_language, request.source_language), *given]

    def _phrases(self, wanted: Wanted) -> tuple[Phrase, ...]:
        return tuple(Phrase(self._tokens(" " + text), self._tokens(first)) for text, first in wanted.texts())

    def _tokens(self, text: str) -> tuple[int, ...]:
        """Of a text that stands at the beginning, or of one that begins with a space within another."""
        if not text.startswith(" "):
            return tuple(self.tokenizer.target.encode(text))
        before = self.tokenizer.target.encode("a")
        return tuple(self.tokenizer.target.encode("a" + text)[len(before) :])

    def _pieces(
        self, request: TranslateRequest, before: str, sentence: Sentence
    ) -> Iterator[tuple[Segment, list[int]]]:
        """What the model reads at once, each with its prompt."""

        def read(text: str) -> list[int]:
            seen = sentence.read(text)
            return self.format.source(self.tokenizer, seen, request.target_language, request.source_language)

        if request.split != "none":
            yield from fitting(Segment(before, sentence.text), read, self.tokenizer, self.limits.max_prompt_tokens)
        else:
            prompt = read(self._normalized("the text", sentence.text))
            within_tokens("the text", prompt, self.limits.max_prompt_tokens)
            yield Segment(before, self._normalized("the text", sentence.text)), prompt

    def _specs_of(
        self, request: TranslateRequest, prompt: list[int], prefix: list[int], wanted: Wanted, aligned: bool
    ) -> list[SequenceSpec]:
        layers = self.config.capabilities.alignment_layers
        layer = align_layer_of(request, layers)
        phrases = self._phrases(wanted) if not layers and can_search(request.decoding) else ()
        return self._specs(
            request,
            prompt,
            self._lengths(request, len(prompt) - self.format.special, len(prefix) - len(self.format.begins)),
            prefix=prefix,
            align_layer=layers - 1 if layer is None and aligned and layers else layer,
            phrases=phrases,
            loop_guard=LoopGuard.of(prompt) if request.loop_guard else None,
            want_logprobs=request.confidence,
            shortlist=self._shortlist_of(request, prompt, prefix, phrases),
        )

    def _shortlist_of(
        self, request: TranslateRequest, prompt: list[int], prefix: list[int], phrases: tuple[Phrase, ...]
    ) -> Tokens | None:
        """The tokens that may come: the table's, and whatever the request or the model's format asks for."""
        if self.shortlist is None:
            return None
        ends = [*self._other_ends, *([] if self.config.end_id is None else [self.config.end_id])]
        asked = [token for phrase in phrases for token in (*phrase.tokens, *phrase.first)]
        biased = [token for token, _ in request.decoding.logit_bias]
        return self.shortlist.of(request.target_language, prompt, [*ends, *prefix, *asked, *biased])

    def _lengths(self, request: TranslateRequest, source_tokens: int, prefix_tokens: int) -> Lengths:
        after = f" after a target_prefix of {prefix_tokens} tokens" if prefix_tokens else ""
        lengths = lengths_of(request.decoding, self.limits.max_new_tokens - prefix_tokens, after)
        return lengths.within_ratios(source_tokens, request.min_length_ratio, request.max_length_ratio)

    def answer(self, request: TranslateRequest, parts: list[EndedPart], timing: Timing) -> Completion:
        completed = [Completed(each, self._completed(request, each, timing)) for each in parts if each.ends]
        last = parts[-1].part
        if not completed:
            return self._untranslated(request, timing)
        if isinstance(last, DocumentPart):
            return put_together(completed, partial(self._written, request, last.document, completed))
        return put_together(completed, partial(joined, completed, last.before))

    def _completed(self, request: TranslateRequest, ended: EndedPart, timing: Timing) -> Completion:
        finished = ended.part.finished
        told = self._completion(request, ended.ends, timing, finished=finished, aligned=request.return_alignment)
        if not request.confidence:
            return told
        return replace(told, confidence=self._confidence(request, ended.ends[0].sequence))

    def _confidence(self, request: TranslateRequest, sequence: Sequence) -> Confidence:
        logprob = mean_logprob(sequence, request.decoding.length_penalty)
        curve = self._curves.get(f"{request.source_language}-{request.target_language}")
        value = math.exp(min(logprob, 0.0)) if curve is None else curve.at(logprob)
        return Confidence(value=value, logprob=logprob, calibrated=curve is not None)

    def _untranslated(self, request: TranslateRequest, timing: Timing) -> Completion:
        return Completion(
            request_id=request.id,
            text=request.text,
            finish_reason="eos_token",
            prompt_tokens=0,
            generated_tokens=0,
            timing=timing,
            model_version=self.manifest.reference,
        )

    def _written(self, request: TranslateRequest, document: Document, completed: list[Completed], number: int) -> str:
        """The document with the result `number` of all sentences."""
        translated = []
        for (part, ends), _ in completed:
            assert isinstance(part, MarkedPart), "a document has sentences"
            sequence, result = (ends[0].sequence, number) if len(ends) == 1 else (ends[number].sequence, 0)
            text = finished_text(self.tokenizer, sequence, result, request.decoding.stop, None)
            alignment = alignment_of(self.tokenizer, sequence, result) if sequence.alignments else None
            before = self.tokenizer.decode(sequence.spec.target_prefix)
            text, alignment = part.wanted.completed(text, alignment, before)
            translated.append(Translated(part.sentence, text.lstrip(" "), alignment))
        return document.written(translated, space=between(" ", request.target_language))

    def canary(self, request_id: str) -> TranslateRequest:
        source, target = self.manifest.language_pairs[0]
        return TranslateRequest(
            id=request_id,
            text="a",  # what has no letter is not translated
            stream=True,
            source_language=source,
            target_language=target,
            decoding=self._canary_decoding(),
        )
