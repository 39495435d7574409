"""A vector for a text, from an encoder's hidden states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from models.embedder import POOLINGS, Embedder, Pooled
from models.formats import CLASSIFICATION, Format
from service.engine.sequence import SequenceSpec
from service.messages import Event, Request, Timing
from service.messages.embed import Embedding, EmbedRequest
from service.worker.decoding import within_tokens
from service.worker.tasks.task import EndedPart, Part, WorkerTask


class Embed(WorkerTask):
    REQUEST: ClassVar[type[Request]] = EmbedRequest
    FORMAT: ClassVar[Format] = CLASSIFICATION

    @staticmethod
    def servable(model: Any) -> Embedder:
        return Embedder(model)

    @staticmethod
    def borrowed(examples: Mapping[str, Any]) -> dict[str, Any]:
        """Their texts alone."""
        bodies = {shown: {"inputs": body.get("inputs")} for shown, body in examples.items()}
        return {shown: body for shown, body in bodies.items() if _are_texts(body["inputs"])}

    def texts(self, request: EmbedRequest) -> dict[str, str]:
        """Of a text that is cut to fit, as much as may fit."""
        return {"the text": self._left(request, request.text, self.limits.max_characters)}

    def prepare(self, request: EmbedRequest) -> list[Part]:
        text = self._normalized("the text", self.texts(request)["the text"])
        before, after = self.format.around(self.tokenizer)
        room = self.limits.max_prompt_tokens - self.format.special
        prompt = [*before, *self._left(request, self.tokenizer.encode(text), room), *after]
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        return [Part(specs=[SequenceSpec(id=request.id, prompt=prompt, max_new_tokens=1, want_logits=True)])]

    def answer(self, request: EmbedRequest, parts: list[EndedPart], timing: Timing) -> Embedding:
        [(_, [output])] = parts
        assert output.details.logits is not None
        own = self.manifest.embedding or Pooled()
        width, place = len(output.details.logits) // len(POOLINGS), POOLINGS.index(request.pooling or own.pooling)
        vector = output.details.logits[place * width : (place + 1) * width]
        length = math.hypot(*vector) if (own.normalize if request.normalize is None else request.normalize) else 1.0
        return Embedding(
            request_id=request.id,
            vector=tuple(value / (length or 1.0) for value in vector),
            prompt_tokens=len(output.sequence.spec.prompt),
            timing=timing,
            model_version=self.manifest.reference,
        )

    @staticmethod
    def flaw(event: Event) -> str:
        if isinstance(event, Embedding) and not all(map(math.isfinite, event.vector)):
            return f"the canary's vector begins with {event.vector[:3]}"
        return ""


def _are_texts(inputs: Any) -> bool:
    return all(isinstance(each, str) for each in (inputs if isinstance(inputs, list) else [inputs]))
