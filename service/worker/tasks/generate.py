"""Prompts that the model goes on with: texts, token ids, or conversations in the words of its chat template."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from models.chat import ChatTemplate, ChatTemplateError
from models.formats import GENERATION, Format
from service.errors import EmptyInput, InvalidRequest
from service.messages import ChatMessage, Completion, GenerateRequest, Request, Timing
from service.worker.decoding import Lengths, lengths_of, within_characters, within_tokens, within_vocabulary
from service.worker.tasks.completions import Completing
from service.worker.tasks.task import EndedPart, Part


class Generate(Completing):
    REQUEST: ClassVar[type[Request]] = GenerateRequest
    FORMAT: ClassVar[Format] = GENERATION

    def check_checkpoint(self) -> None:
        super().check_checkpoint()
        _ = self._chat  # which raises what is wrong with the template

    @cached_property
    def _chat(self) -> ChatTemplate | None:
        return ChatTemplate(self.manifest.chat_template) if self.manifest.chat_template else None

    def texts(self, request: GenerateRequest) -> dict[str, str]:
        if request.messages:
            return {"the conversation": "\n".join(message.content for message in request.messages)}
        return {} if request.token_ids else super().texts(request)

    def streams(self, request: GenerateRequest) -> bool:
        return request.decoding.num_beams == 1  # the tokens of a beam search are known at its end

    def prepare(self, request: GenerateRequest) -> list[Part]:
        prompt = self._prompt(request)
        specs = self._specs(
            request,
            prompt,
            self._lengths(request, len(prompt)),
            prefix=self.format.beginning(self.tokenizer, ""),
            # Prompt and output are one text; what an encoder reads is another one, which may well be repeated.
            penalize_prompt=self.config.capabilities.shared_positions,
        )
        return [Part(specs=specs)]

    def _prompt(self, request: GenerateRequest) -> list[int]:
        name = "the prompt"
        if request.messages:
            prompt, name = self._conversation(request.messages), "the conversation"
        elif request.token_ids:
            prompt = list(request.token_ids)
            within_vocabulary(name, "text", prompt, self.config.vocab_size)
        else:
            prompt, name = self.format.prompt(self.tokenizer, self._text_of(request)), "the text"
        within_tokens(name, prompt, self.limits.max_prompt_tokens)
        return prompt

    def _conversation(self, messages: tuple[ChatMessage, ...]) -> list[int]:
        if self._chat is None:
            raise InvalidRequest(f"{self.manifest.reference} has no chat template: it goes on with texts")
        if not any(message.content.strip() for message in messages):
            raise EmptyInput("the conversation is empty")
        for message in messages:  # one character may become many
            within_characters("a message", self.format.text(message.content), self.limits.max_characters)
        turns = [
            {"role": each.role, "content": each.content} | ({} if each.name is None else {"name": each.name})
            for each in messages
        ]
        try:
            return self._chat.prompt(self.tokenizer, turns, self.format)
        except ChatTemplateError as error:
            raise InvalidRequest(str(error)) from None

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
