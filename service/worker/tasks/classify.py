"""Labels of a text, or of a pair of texts: scores from the model's one output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

from models import formats
from models.checkpoint import Checkpoint
from models.tokenizer import Tokenizer
from service.engine.engine import Output
from service.engine.sequence import SequenceSpec
from service.messages import Classification, ClassifyRequest, Event, ModelInfo, Request, ScoreFunction, Timing
from service.worker.decoding import within_tokens
from service.worker.tasks.task import Limits, WorkerTask, normalized, text_of


@dataclass(frozen=True)
class Classify(WorkerTask):
    REQUEST: ClassVar[type[Request]] = ClassifyRequest

    tokenizer: Tokenizer
    limits: Limits
    version: str
    labels: tuple[str, ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint, limits: Limits) -> Self:
        return cls(checkpoint.tokenizer, limits, checkpoint.manifest.reference, tuple(checkpoint.manifest.labels))

    def texts(self, request: ClassifyRequest) -> dict[str, str]:
        pair = {} if request.text_pair is None else {"text_pair": request.text_pair}
        return {"the text": request.text, **pair}

    def prepare(self, request: ClassifyRequest) -> list[SequenceSpec]:
        pair = None if request.text_pair is None else normalized("text_pair", request.text_pair, self.limits)
        prompt, segments = formats.classification_prompt(self.tokenizer, text_of(request, self.limits), pair)
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        return [SequenceSpec(id=request.id, prompt=prompt, segments=segments, max_new_tokens=1, want_logits=True)]

    def answer(self, request: ClassifyRequest, ends: list[Output], timing: Timing) -> Classification:
        [output] = ends
        assert output.logits is not None
        scores = apply_function(output.logits, request.function_to_apply or "softmax")
        best = sorted(zip(self.labels, scores, strict=True), key=lambda pair: pair[1], reverse=True)
        return Classification(
            request_id=request.id,
            scores=tuple(best[: request.top_k]),
            prompt_tokens=len(output.sequence.spec.prompt),
            timing=timing,
            model_version=self.version,
        )

    @staticmethod
    def canary(info: ModelInfo, request_id: str) -> ClassifyRequest:
        return ClassifyRequest(id=request_id, text="1")

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
        return [w / sum(weights) for w in weights]
    if name == "sigmoid":
        return [1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)) for x in logits]
    return logits
