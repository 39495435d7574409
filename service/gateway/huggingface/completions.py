"""What translations and generations have in common: their checks, and the parts of their answers.

Each schema documents what is sent, which is built as plain dicts beside it; a test compares the two.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from math import isfinite
from typing import Any, ClassVar

from pydantic import BaseModel

from service.errors import InvalidRequest
from service.gateway.detection import LanguageScore
from service.gateway.fields import Texts
from service.gateway.huggingface.body import TaskBody
from service.gateway.huggingface.decoding import DecodingParameters
from service.gateway.limits import check_decoding
from service.messages import Alternative, Completion, Decoding, FinishReason, ModelInfo, Sentence, Token, TopToken
from service.messages.decoding import GREEDY


class CompletionBody(TaskBody):
    streams_beams: ClassVar[bool] = False  # there is something to tell before the end of a beam search
    inputs: Texts
    parameters: DecodingParameters | None = None

    @cached_property
    def decoding(self) -> Decoding:
        return GREEDY if self.parameters is None else self.parameters.decoding()

    def decoding_for(self, info: ModelInfo) -> Decoding:
        check_decoding(self.decoding, info, self.called)
        return self.decoding

    def check_results(self, most: int) -> None:
        # Samples cost what texts do; the results of a beam search cost what its beams do.
        decoding = self.decoding
        samples = self.count * decoding.num_return_sequences
        if decoding.num_beams == 1 and samples > most:
            raise InvalidRequest(
                f"inputs has {self.count} texts with num_return_sequences {decoding.num_return_sequences}: "
                f"{samples} results, the limit is {most}",
                parameter="parameters.num_return_sequences",
                limit=most,
            )

    def check_stream(self) -> None:
        super().check_stream()
        reasons = {"num_beams": ": a beam search knows its first token at its end", "num_return_sequences": ""}
        for name, reason in reasons.items():
            if (given := getattr(self.decoding, name)) > 1 and not (name == "num_beams" and self.streams_beams):
                message = f"stream is true with {name} {given}, the limit is 1{reason}"
                raise InvalidRequest(message, parameter="stream", limit=1)


class OneOfSeveral(BaseModel):
    score: float | None = None
    seed: int | None = None


def texts(name: str, result: Completion | Sentence) -> dict[str, Any]:
    """The text, called `name`; with score, seed and the others where several results were asked for."""
    if result.score is None:
        return {name: result.text}
    others = [{name: other.text, **_score(other)} for other in result.alternatives]
    return {name: result.text, **_score(result), "alternatives": others}


def _score(result: Completion | Sentence | Alternative) -> dict[str, Any]:
    # Infinitely bad is the one beam of a search in which every token came to be ruled out; JSON has no infinity.
    score = result.score if result.score is not None and isfinite(result.score) else None
    seed = None if isinstance(result, Sentence) else result.seed
    return {"score": score, **({} if seed is None else {"seed": seed})}


class AlignmentWeights(BaseModel):
    source_tokens: list[str]
    target_tokens: list[str]
    weights: list[list[float]]


def alignment(result: Completion | Sentence) -> dict[str, Any]:
    """Four digits of each weight: a long text has many of them."""
    if result.alignment is None:
        return {}
    found = asdict(result.alignment)
    return {"alignment": found | {"weights": [[round(w, 4) for w in row] for row in found["weights"]]}}


class ConfidenceDetails(BaseModel):
    value: float
    logprob: float | None
    calibrated: bool


def confidence(result: Completion | Sentence) -> dict[str, Any]:
    """Four digits, as it is an estimate."""
    found = result.confidence
    if found is None:
        return {}
    logprob = round(found.logprob, 4) if isfinite(found.logprob) else None
    return {"confidence": {"value": round(found.value, 4), "logprob": logprob, "calibrated": found.calibrated}}


class TextOfSeveral(OneOfSeveral):
    translation_text: str


class TranslatedSentence(TextOfSeveral):
    source_text: str
    finish_reason: FinishReason
    alternatives: list[TextOfSeveral] | None = None
    alignment: AlignmentWeights | None = None
    confidence: ConfidenceDetails | None = None


def differ_by_sentence(result: Completion) -> bool:
    """Whether something was asked for that is said of each sentence."""
    return result.score is not None or any(each.alignment or each.confidence for each in result.sentences)


def sentences(result: Completion) -> dict[str, Any]:
    """What is said of one translation, of each sentence of a text that was several."""
    told = [
        {
            "source_text": each.source,
            **texts("translation_text", each),
            "finish_reason": each.finish_reason,
            **alignment(each),
            **confidence(each),
        }
        for each in result.sentences
    ]
    return {"sentences": told} if told else {}


class DetectedLanguage(BaseModel):
    language: str
    score: float


def detected_language(detected: LanguageScore | None) -> dict[str, Any]:
    return {} if detected is None else {"detected_language": asdict(detected)}


class TokenDetails(BaseModel):
    id: int
    text: str
    logprob: float
    special: bool


def token_object(token: Token | TopToken) -> dict[str, Any]:
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token.special}


def best_tokens(token: Token) -> list[dict[str, Any]]:
    return [token_object(one) for one in token.top_tokens]


def top_tokens(best: list[Any]) -> dict[str, Any]:
    """Only where they were asked for, as text-generation-inference has it."""
    return {"top_tokens": best} if any(best) else {}
