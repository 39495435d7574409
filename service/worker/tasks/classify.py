"""Labels of a text, or of a pair of texts: scores from the model's one output."""

from __future__ import annotations

import math
from functools import cached_property
from typing import ClassVar, cast, get_args

from models.formats import CLASSIFICATION, Format
from service.engine.sequence import SequenceSpec
from service.errors import EmptyInput
from service.messages import Classification, ClassifyRequest, Event, Request, ScoreFunction, Timing
from service.worker.decoding import within_tokens
from service.worker.tasks.task import EndedPart, Part, WorkerTask


class Classify(WorkerTask):
    REQUEST: ClassVar[type[Request]] = ClassifyRequest
    FORMAT: ClassVar[Format] = CLASSIFICATION

    def check_checkpoint(self) -> None:
        assert self._own_function

    @cached_property
    def _own_function(self) -> ScoreFunction:
        own = self.manifest.score_function or "softmax"
        if own not in get_args(ScoreFunction):
            raise ValueError(f"score_function is {own!r}, expected one of {', '.join(get_args(ScoreFunction))}")
        return cast(ScoreFunction, own)

    def texts(self, request: ClassifyRequest) -> dict[str, str]:
        """Of those that are cut to fit, as much as may fit."""
        both = {"the text": request.text, "text_pair": request.text_pair}
        most = self.limits.max_characters
        return {name: self._left(request, text, most) for name, text in both.items() if text is not None}

    def prepare(self, request: ClassifyRequest) -> list[Part]:
        given = {name: self._normalized(name, text) for name, text in self.texts(request).items()}
        if not given["the text"]:
            raise EmptyInput("the text is empty")
        text, pair = self.tokenizer.encode(given["the text"]), None
        if "text_pair" in given:
            pair = self.tokenizer.encode(given["text_pair"])
        if request.truncate:
            text, pair = self._cut(request, text, pair)
        prompt, segments = self.format.framed(self.tokenizer, text, pair)
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        spec = SequenceSpec(id=request.id, prompt=prompt, segments=segments, max_new_tokens=1, want_logits=True)
        return [Part(specs=[spec])]

    def _cut(
        self, request: ClassifyRequest, text: list[int], pair: list[int] | None
    ) -> tuple[list[int], list[int] | None]:
        """To what the model reads at once: of a pair, the longer text first, down to the length of the other."""
        around, _ = self.format.framed(self.tokenizer, [], None if pair is None else [])
        room = max(self.limits.max_prompt_tokens - len(around), 0)
        for_pair = 0 if pair is None else min(len(pair), max(room - room // 2, room - len(text)))
        text = self._left(request, text, room - for_pair)
        return text, None if pair is None else self._left(request, pair, for_pair)

    def answer(self, request: ClassifyRequest, parts: list[EndedPart], timing: Timing) -> Classification:
        [(_, [output])] = parts
        assert output.details.logits is not None
        scores = apply_function(output.details.logits, request.function_to_apply or self._own_function)
        best = sorted(zip(self.manifest.labels, scores, strict=True), key=lambda pair: pair[1], reverse=True)
        return Classification(
            request_id=request.id,
            scores=tuple(best[: request.top_k]),
            prompt_tokens=len(output.sequence.spec.prompt),
            timing=timing,
            model_version=self.manifest.reference,
        )

    @staticmethod
    def flaw(event: Event) -> str:
        if isinstance(event, Classification) and not all(math.isfinite(score) for _, score in event.scores):
            return f"the canary's scores are {dict(event.scores)}"
        return ""


def apply_function(logits: list[float], name: ScoreFunction) -> list[float]:
    """Scores from logits."""
    if name == "softmax":
        highest = max(logits)
        weights = [math.exp(x - highest) for x in logits]
        total = sum(weights)
        return [w / total for w in weights]
    if name == "sigmoid":
        return [1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)) for x in logits]
    return logits
