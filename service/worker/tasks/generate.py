"""Prompts that the model goes on with."""

from __future__ import annotations

from typing import ClassVar

from models import formats
from service.messages import Completion, GenerateRequest, Request, Timing
from service.worker.decoding import Lengths, lengths_of, within_tokens
from service.worker.tasks.completions import Completing
from service.worker.tasks.task import EndedPart, Part


class Generate(Completing):
    REQUEST: ClassVar[type[Request]] = GenerateRequest
    AROUND: ClassVar = (["<s>"], [])

    def streams(self, request: GenerateRequest) -> bool:
        return request.decoding.num_beams == 1  # the tokens of a beam search are known at its end

    def prepare(self, request: GenerateRequest) -> list[Part]:
        prompt = formats.generation_prompt(self.tokenizer, self._text_of(request))
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        # Prompt and output are one text; a translation's source is another one, which it may well repeat.
        specs = self._specs(request, prompt, self._lengths(request, len(prompt)), prefix=[], penalize_prompt=True)
        return [Part(specs=specs)]

    def _lengths(self, request: GenerateRequest, prompt_tokens: int) -> Lengths:
        room, total = self.limits.max_new_tokens, self.limits.max_total_tokens
        if total is None:
            return lengths_of(request.decoding, room)
        return lengths_of(
            request.decoding, min(room, total - prompt_tokens), f" after a prompt of {prompt_tokens} tokens"
        )

    def answer(self, request: GenerateRequest, parts: list[EndedPart], timing: Timing) -> Completion:
        [(_, ends)] = parts
        return self._completion(request, ends, timing, before=request.text if request.return_full_text else "")

    def canary(self, request_id: str) -> GenerateRequest:
        return GenerateRequest(id=request_id, text="1", stream=True, decoding=self._canary_decoding())
