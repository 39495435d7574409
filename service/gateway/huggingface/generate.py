"""POST /generate."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from service.gateway.answering import Answer
from service.gateway.fields import Neutral, taken
from service.gateway.huggingface import completions
from service.gateway.huggingface.body import Priority
from service.gateway.huggingface.decoding import DecodingParameters
from service.gateway.traffic import Envelope
from service.messages import Completion, FinishReason, GenerateRequest, ModelInfo


class GenerateParameters(DecodingParameters):
    return_full_text: bool | None = taken(GenerateRequest, "return_full_text")
    details: bool | None = Field(default=None, description="true: finish reason, seed and tokens come along")
    priority: Priority = None
    adapter_id: Annotated[Any, Neutral()] = None
    best_of: Annotated[Any, Neutral(1)] = None
    decoder_input_details: Annotated[Any, Neutral(False)] = None
    grammar: Annotated[Any, Neutral()] = None
    truncate: Annotated[Any, Neutral()] = None
    watermark: Annotated[Any, Neutral(False)] = None


class GenerationDetails(BaseModel):
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    prefill: list[completions.TokenDetails]
    tokens: list[completions.TokenDetails]
    top_tokens: list[list[completions.TokenDetails]] | None = None


class GeneratedText(completions.OneOfSeveral):
    generated_text: str


class Generation(GeneratedText):
    alternatives: list[GeneratedText] | None = None
    details: GenerationDetails | None = None


class GenerateBody(completions.CompletionBody):
    summary: ClassVar = "Continue prompts"
    does: ClassVar = "goes on with prompts"
    answer: ClassVar[Any] = list[Generation]

    parameters: GenerateParameters | None = None

    @property
    def details(self) -> bool:
        return bool(self.parameters and self.parameters.details)

    @property
    def tokens(self) -> bool:
        return self.streams or self.details

    def requests(self, info: ModelInfo, envelope: Envelope) -> list[GenerateRequest]:
        asked = self.parameters or GenerateParameters()
        decoding, full = self.decoding_for(info), bool(asked.return_full_text)
        return [
            GenerateRequest(text=text, return_full_text=full, decoding=decoding, **envelope.of(index, asked.priority))
            for index, text in enumerate(self.inputs)
        ]

    def rendered_one(self, answer: Answer) -> dict[str, Any]:
        result = answer.result
        assert isinstance(result, Completion)
        details = {
            "finish_reason": result.finish_reason,
            "generated_tokens": result.generated_tokens,
            "seed": result.seed,
            "prefill": [],
            "tokens": [completions.token_object(token) for token in answer.tokens],
            **completions.top_tokens([completions.best_tokens(token) for token in answer.tokens]),
        }
        return {**completions.texts("generated_text", result), **({"details": details} if self.details else {})}
