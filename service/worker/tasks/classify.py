"""Labels of a text, or of a pair of texts: scores from the model's one output."""

from __future__ import annotations

import math
from typing import ClassVar

from models import formats
from service.engine.sequence import SequenceSpec
from service.messages import Classification, ClassifyRequest, Event, Request, ScoreFunction, Timing
from service.worker.decoding import within_tokens
from service.worker.tasks.task import EndedPart, Part, WorkerTask


class Classify(WorkerTask):
    REQUEST: ClassVar[type[Request]] = ClassifyRequest

    def texts(self, request: ClassifyRequest) -> dict[str, str]:
        pair = {} if request.text_pair is None else {"text_pair": request.text_pair}
        return {"the text": request.text, **pair}

    def prepare(self, request: ClassifyRequest) -> list[Part]:
        pair = None if request.text_pair is None else self._normalized("text_pair", request.text_pair)
        prompt, segments = formats.classification_prompt(self.tokenizer, self._text_of(request), pair)
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        spec = SequenceSpec(id=request.id, prompt=prompt, segments=segments, max_new_tokens=1, want_logits=True)
        return [Part(specs=[spec])]

    def answer(self, request: ClassifyRequest, parts: list[EndedPart], timing: Timing) -> Classification:
        [(_, [output])] = parts
        assert output.logits is not None
        scores = apply_function(output.logits, request.function_to_apply or "softmax")
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
