"""The three tasks as text: a request becomes token sequences, their outputs an answer.

One class a task: `prepare` checks a request and tokenizes it, `answer` builds the terminal event. Knows nothing of
batching, threads, HTTP or Ray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from models import formats
from models.checkpoint import Checkpoint
from models.tokenizer import Tokenizer
from service.engine.decoding import (
    SEEDS,
    Lengths,
    align_layer_of,
    beams_of,
    lengths_of,
    sampling_of,
    top_n_tokens_of,
    watch_of,
    within_characters,
    within_tokens,
)
from service.engine.engine import Output
from service.engine.results import alignment_of, finish_reason, primed, scored, text_of
from service.engine.sequence import Sequence
from service.errors import EmptyInput, UnknownLanguagePair
from service.messages import (
    MOST_BEAMS,
    Classification,
    ClassifyRequest,
    Completion,
    GenerateRequest,
    Request,
    ScoreFunction,
    Timing,
    TranslateRequest,
)
from service.messages import Task as TaskName


@dataclass(frozen=True, kw_only=True)
class Limits:
    max_prompt_tokens: int  # tags and special tokens included
    max_characters: int  # of one text before it is read, and of what normalizing makes of it
    max_new_tokens: int
    max_total_tokens: int | None = None  # prompt and continuation together, where they share the positions
    slots: int = MOST_BEAMS  # beams that run side by side, at most


class Task(Protocol):
    def prepare(self, request: Request) -> list[Sequence]:
        """At least one, the first with the request's id. Raises a ServiceError when the request cannot be served."""
        ...

    def answer(self, request: Request, ends: list[Output], timing: Timing) -> Completion | Classification:
        """The terminal event, from the last output of each of the request's sequences, in their order."""
        ...


@dataclass(frozen=True)
class _TextTask:
    tokenizer: Tokenizer
    limits: Limits
    version: str
    end_id: int
    vocabulary: int  # number of the model's tokens

    def _sequences(
        self,
        request: TranslateRequest | GenerateRequest,
        prompt: list[int],
        lengths: Lengths,
        *,
        prefix: list[int],
        penalize_prompt: bool = False,
        align_layer: int | None = None,
    ) -> list[Sequence]:
        """One, or one for each sample. Whatever they have in common, the first is what it would be alone."""
        decoding = request.decoding
        decoding.check_results(self.limits.slots)
        sampling = sampling_of(decoding, vocabulary=self.vocabulary, penalize_prompt=penalize_prompt)
        beams, top_n_tokens = beams_of(decoding), top_n_tokens_of(decoding)
        return [
            Sequence(
                id=f"{request.id}+{number}" if number else request.id,
                prompt=prompt,
                max_new_tokens=lengths.most,
                min_new_tokens=lengths.least,
                end_id=self.end_id,
                sampling=replace(sampling, seed=(sampling.seed + number) % SEEDS),
                beams=beams,
                target_prefix=prefix,
                align_layer=None if number else align_layer,
                want_logprobs=request.stream or decoding.num_return_sequences > 1,
                top_n_tokens=top_n_tokens if request.stream else 0,
                watch=watch_of(decoding, primed(self.tokenizer, prefix)[0]),
            )
            for number in range(1 if beams else decoding.num_return_sequences)
        ]

    def _completion(
        self, request: TranslateRequest | GenerateRequest, ends: list[Output], timing: Timing, before: str = ""
    ) -> Completion:
        """`before` comes in front of every text."""
        sequences, decoding = [end.sequence for end in ends], request.decoding
        first = sequences[0]
        results = scored(self.tokenizer, sequences, decoding) if decoding.num_return_sequences > 1 else []
        return Completion(
            request_id=request.id,
            text=before + text_of(self.tokenizer, first, first.output, decoding.stop),
            finish_reason=finish_reason(first),
            prompt_tokens=len(first.prompt),
            generated_tokens=len(first.output),
            seed=first.sampling.seed if decoding.do_sample else None,
            score=results[0].score if results else None,
            alternatives=tuple(replace(result, text=before + result.text) for result in results[1:]),
            alignment=None if first.align_layer is None else alignment_of(self.tokenizer, first),
            timing=timing,
            model_version=self.version,
        )


@dataclass(frozen=True)
class Translate(_TextTask):
    language_pairs: tuple[tuple[str, str], ...]
    layers: int  # of the decoder, with attention to the source

    def prepare(self, request: Request) -> list[Sequence]:
        assert isinstance(request, TranslateRequest)
        pair = (request.source_language, request.target_language)
        if pair not in self.language_pairs:
            served = ", ".join("-".join(each) for each in self.language_pairs)
            raise UnknownLanguagePair(f"no translation for {'-'.join(pair)}; available: {served}")
        text = _text(request.text, self.limits)
        prompt = formats.translation_source(self.tokenizer, text, request.target_language)
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        prefix_text = _normalized("target_prefix", request.target_prefix, self.limits)
        prefix = formats.translation_target(self.tokenizer, prefix_text)[:-1]
        within_tokens("target_prefix", prefix, self.limits.max_new_tokens - 1)
        return self._sequences(
            request,
            prompt,
            self._lengths(request, len(prompt) - 2, len(prefix)),
            prefix=prefix,
            align_layer=align_layer_of(request, self.layers),
        )

    def _lengths(self, request: TranslateRequest, source_tokens: int, prefix_tokens: int) -> Lengths:
        after = f" after a target_prefix of {prefix_tokens} tokens" if prefix_tokens else ""
        lengths = lengths_of(request.decoding, self.limits.max_new_tokens - prefix_tokens, after)
        return lengths.within_ratios(source_tokens, request.min_length_ratio, request.max_length_ratio)

    def answer(self, request: Request, ends: list[Output], timing: Timing) -> Completion:
        assert isinstance(request, TranslateRequest)
        return self._completion(request, ends, timing)


@dataclass(frozen=True)
class Generate(_TextTask):
    def prepare(self, request: Request) -> list[Sequence]:
        assert isinstance(request, GenerateRequest)
        prompt = formats.generation_prompt(self.tokenizer, _text(request.text, self.limits))
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        # Prompt and output are one text; a translation's source is another one, which it may well repeat.
        return self._sequences(request, prompt, self._lengths(request, len(prompt)), prefix=[], penalize_prompt=True)

    def _lengths(self, request: GenerateRequest, prompt_tokens: int) -> Lengths:
        room, total = self.limits.max_new_tokens, self.limits.max_total_tokens
        if total is None:
            return lengths_of(request.decoding, room)
        return lengths_of(
            request.decoding, min(room, total - prompt_tokens), f" after a prompt of {prompt_tokens} tokens"
        )

    def answer(self, request: Request, ends: list[Output], timing: Timing) -> Completion:
        assert isinstance(request, GenerateRequest)
        return self._completion(request, ends, timing, before=request.text if request.return_full_text else "")


@dataclass(frozen=True)
class Classify:
    tokenizer: Tokenizer
    limits: Limits
    version: str
    labels: tuple[str, ...]

    def prepare(self, request: Request) -> list[Sequence]:
        assert isinstance(request, ClassifyRequest)
        pair = None if request.text_pair is None else _normalized("text_pair", request.text_pair, self.limits)
        prompt, segments = formats.classification_prompt(self.tokenizer, _text(request.text, self.limits), pair)
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        return [Sequence(id=request.id, prompt=prompt, segments=segments, max_new_tokens=1, want_logits=True)]

    def answer(self, request: Request, ends: list[Output], timing: Timing) -> Classification:
        assert isinstance(request, ClassifyRequest)
        [output] = ends
        assert output.logits is not None
        scores = apply_function(output.logits, request.function_to_apply or "softmax")
        best = sorted(zip(self.labels, scores, strict=True), key=lambda pair: pair[1], reverse=True)
        return Classification(
            request_id=request.id,
            scores=tuple(best[: request.top_k]),
            prompt_tokens=len(output.sequence.prompt),
            timing=timing,
            model_version=self.version,
        )


def make_task(checkpoint: Checkpoint, limits: Limits) -> Task:
    """The task that a checkpoint was trained for."""
    manifest, config = checkpoint.manifest, checkpoint.config
    version = f"{manifest.name}@{manifest.version}"
    if manifest.task == "classify":
        return Classify(checkpoint.tokenizer, limits, version, tuple(manifest.labels))
    end_id: int = config.end_id  # type: ignore[union-attr]  # every decoder has one
    vocabulary = config.vocab_size
    if manifest.task == "translate":
        pairs = tuple((source, target) for source, target in manifest.language_pairs)
        shape = config.cache_shape
        layers = shape.layers if shape.cross else 0
        return Translate(checkpoint.tokenizer, limits, version, end_id, vocabulary, pairs, layers)
    return Generate(checkpoint.tokenizer, limits, version, end_id, vocabulary)


REQUESTS: dict[TaskName, type[Request]] = {
    "translate": TranslateRequest,
    "generate": GenerateRequest,
    "classify": ClassifyRequest,
}


def apply_function(logits: list[float], name: ScoreFunction) -> list[float]:
    """Scores from logits."""
    if name == "softmax":
        highest = max(logits)
        weights = [math.exp(x - highest) for x in logits]
        return [w / sum(weights) for w in weights]
    if name == "sigmoid":
        return [1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)) for x in logits]
    return logits


def texts_of(request: Request) -> dict[str, str]:
    """What of a request is tokenized, by what errors call it."""
    texts = {"the text": request.text}
    if isinstance(request, TranslateRequest):
        texts["target_prefix"] = request.target_prefix
    if isinstance(request, ClassifyRequest) and request.text_pair is not None:
        texts["text_pair"] = request.text_pair
    return texts


def _text(text: str, limits: Limits) -> str:
    normalized = _normalized("the text", text, limits)
    if not normalized:
        raise EmptyInput("the text is empty")
    return normalized


def _normalized(name: str, text: str, limits: Limits) -> str:
    within_characters(name, text, limits.max_characters)
    normalized = formats.normalize(text)
    within_characters(name, normalized, limits.max_characters)  # one character may become many
    return normalized
