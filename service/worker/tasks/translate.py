"""Sources in one language that the model writes in another."""

from __future__ import annotations

from typing import ClassVar

from models import formats
from service.engine.engine import Output
from service.engine.sequence import SequenceSpec
from service.errors import UnknownLanguagePair
from service.messages import Completion, Request, Timing, TranslateRequest
from service.worker.decoding import Lengths, align_layer_of, lengths_of, within_tokens
from service.worker.tasks.completions import Completing


class Translate(Completing):
    REQUEST: ClassVar[type[Request]] = TranslateRequest

    def texts(self, request: TranslateRequest) -> dict[str, str]:
        return {"the text": request.text, "target_prefix": request.target_prefix}

    def prepare(self, request: TranslateRequest) -> list[SequenceSpec]:
        pair = (request.source_language, request.target_language)
        if pair not in self.manifest.language_pairs:
            served = ", ".join("-".join(each) for each in self.manifest.language_pairs)
            raise UnknownLanguagePair(f"no translation for {'-'.join(pair)}; available: {served}")
        text = self._text_of(request)
        prompt = formats.translation_source(self.tokenizer, text, request.target_language)
        within_tokens("the text", prompt, self.limits.max_prompt_tokens)
        prefix_text = self._normalized("target_prefix", request.target_prefix)
        prefix = formats.translation_target(self.tokenizer, prefix_text)[:-1]
        within_tokens("target_prefix", prefix, self.limits.max_new_tokens - 1)
        return self._specs(
            request,
            prompt,
            self._lengths(request, len(prompt) - 2, len(prefix)),
            prefix=prefix,
            align_layer=align_layer_of(request, self.config.capabilities.alignment_layers),
        )

    def _lengths(self, request: TranslateRequest, source_tokens: int, prefix_tokens: int) -> Lengths:
        after = f" after a target_prefix of {prefix_tokens} tokens" if prefix_tokens else ""
        lengths = lengths_of(request.decoding, self.limits.max_new_tokens - prefix_tokens, after)
        return lengths.within_ratios(source_tokens, request.min_length_ratio, request.max_length_ratio)

    def answer(self, request: TranslateRequest, ends: list[Output], timing: Timing) -> Completion:
        return self._completion(request, ends, timing)

    def canary(self, request_id: str) -> TranslateRequest:
        source, target = self.manifest.language_pairs[0]
        return TranslateRequest(
            id=request_id,
            text="1",
            stream=True,
            source_language=source,
            target_language=target,
            decoding=self._canary_decoding(),
        )
