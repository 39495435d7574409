"""The three tasks as text: a request becomes token sequences, their outputs an answer.

One class a task: `prepare` checks a request and tokenizes it, `answer` builds the terminal event. Knows nothing of
batching, threads, HTTP or Ray.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from models import formats
from models.checkpoint import Checkpoint
from models.tokenizer import Tokenizer
from service.engine.decoding import min_new_tokens_of, sampling_of, top_n_tokens_of, watch_of
from service.engine.engine import Output
from service.engine.sequence import Sequence
from service.engine.stopping import before_stop
from service.errors import EmptyInput, InputTooLong, InvalidRequest, UnknownLanguagePair
from service.messages import (
    Classification,
    ClassifyRequest,
    Completion,
    Decoding,
    FinishReason,
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
    max_new_tokens: int
    max_total_tokens: int | None = None  # prompt and continuation together, where they share the positions


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

    def _decoded(
        self, request: Request, prompt: list[int], decoding: Decoding, *, penalize_prompt: bool = False
    ) -> list[Sequence]:
        _within(prompt, self.limits.max_prompt_tokens)
        max_new_tokens = self._max_new_tokens(len(prompt), decoding.max_new_tokens)
        top_n_tokens = top_n_tokens_of(decoding)
        sequence = Sequence(
            id=request.id,
            prompt=prompt,
            max_new_tokens=max_new_tokens,
            min_new_tokens=min_new_tokens_of(decoding, max_new_tokens),
            end_id=self.end_id,
            sampling=sampling_of(decoding, vocabulary=self.vocabulary, penalize_prompt=penalize_prompt),
            watch=watch_of(decoding, self.tokenizer),
            want_logprobs=request.stream,
            top_n_tokens=top_n_tokens if request.stream else 0,
        )
        return [sequence]

    def _max_new_tokens(self, prompt_tokens: int, asked: int | None) -> int:
        total = self.limits.max_total_tokens
        room = self.limits.max_new_tokens if total is None else min(self.limits.max_new_tokens, total - prompt_tokens)
        if asked is None:
            return room
        if asked < 1:
            raise InvalidRequest(f"max_new_tokens is {asked}, expected at least 1", value=asked, limit=1)
        if asked > room:
            after = "" if total is None else f" after a prompt of {prompt_tokens} tokens"
            raise InvalidRequest(f"max_new_tokens is {asked}, the limit{after} is {room}", value=asked, limit=room)
        return asked

    def _output_ids(self, sequence: Sequence) -> list[int]:
        return sequence.output[:-1] if sequence.outcome == "eos_token" else sequence.output

    def _completion(
        self,
        request: TranslateRequest | GenerateRequest,
        sequence: Sequence,
        timing: Timing,
        prefix: str = "",
    ) -> Completion:
        text = self.tokenizer.decode(self._output_ids(sequence))
        return Completion(
            request_id=request.id,
            text=prefix + before_stop(text, request.decoding.stop),
            finish_reason=_finish_reason(sequence),
            prompt_tokens=len(sequence.prompt),
            generated_tokens=len(sequence.output),
            seed=sequence.sampling.seed if request.decoding.do_sample else None,
            timing=timing,
            model_version=self.version,
        )


@dataclass(frozen=True)
class Translate(_TextTask):
    language_pairs: tuple[tuple[str, str], ...]

    def prepare(self, request: Request) -> list[Sequence]:
        assert isinstance(request, TranslateRequest)
        pair = (request.source_language, request.target_language)
        if pair not in self.language_pairs:
            served = ", ".join("-".join(each) for each in self.language_pairs)
            raise UnknownLanguagePair(f"no translation for {'-'.join(pair)}; available: {served}")
        prompt = formats.translation_source(self.tokenizer, _text(request.text), request.target_language)
        return self._decoded(request, prompt, request.decoding)

    def answer(self, request: Request, ends: list[Output], timing: Timing) -> Completion:
        assert isinstance(request, TranslateRequest)
        return self._completion(request, ends[0].sequence, timing)


@dataclass(frozen=True)
class Generate(_TextTask):
    def prepare(self, request: Request) -> list[Sequence]:
        assert isinstance(request, GenerateRequest)
        prompt = formats.generation_prompt(self.tokenizer, _text(request.text))
        # Prompt and output are one text; a translation's source is another one, which it may well repeat.
        return self._decoded(request, prompt, request.decoding, penalize_prompt=True)

    def answer(self, request: Request, ends: list[Output], timing: Timing) -> Completion:
        assert isinstance(request, GenerateRequest)
        return self._completion(
            request, ends[0].sequence, timing, prefix=request.text if request.return_full_text else ""
        )


@dataclass(frozen=True)
class Classify:
    tokenizer: Tokenizer
    limits: Limits
    version: str
    labels: tuple[str, ...]

    def prepare(self, request: Request) -> list[Sequence]:
        assert isinstance(request, ClassifyRequest)
        prompt, segments = formats.classification_prompt(self.tokenizer, _text(request.text), request.text_pair)
        _within(prompt, self.limits.max_prompt_tokens)
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
        return Translate(checkpoint.tokenizer, limits, version, end_id, vocabulary, pairs)
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


def _text(text: str) -> str:
    if not text.strip():
        raise EmptyInput("the text is empty")
    return text


def _within(prompt: list[int], limit: int) -> list[int]:
    if len(prompt) > limit:
        raise InputTooLong(f"the text has {len(prompt)} tokens, the limit is {limit}", value=len(prompt), limit=limit)
    return prompt


def _finish_reason(sequence: Sequence) -> FinishReason:
    assert sequence.outcome in ("eos_token", "length", "stop_sequence"), f"{sequence.id} ended in {sequence.outcome}"
    return sequence.outcome
