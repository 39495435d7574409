"""POST /translate."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from service.gateway.answering import Answer
from service.gateway.detection import ToDetect
from service.gateway.fields import Body, Neutral, same, taken
from service.gateway.glossaries import Entries, named, used
from service.gateway.huggingface import completions
from service.gateway.huggingface.body import Priority
from service.gateway.huggingface.decoding import DecodingParameters
from service.gateway.languages import Choice
from service.gateway.limits import NamedText
from service.gateway.parsing import quoted
from service.gateway.traffic import Envelope
from service.messages import Completion, FinishReason, ModelInfo, Split, TextFormat, TranslateRequest

MOST_ENTRIES = 1000
Words = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Glossary = Annotated[dict[Words, Words], Field(max_length=MOST_ENTRIES)] | Words


class Languages(Body):
    src_lang: str | None = Field(
        default=None, description="auto: that of each text; may be left out where one language pair remains possible"
    )
    tgt_lang: str | None = Field(default=None, description="may be left out where one language pair remains possible")


class TranslateParameters(DecodingParameters, Languages):  # the fields of the last base come first
    format: TextFormat | None = taken(TranslateRequest, "format")
    split: Split | None = taken(TranslateRequest, "split")
    protect: bool | None = taken(TranslateRequest, "protect")
    capitals: bool | None = taken(TranslateRequest, "capitals")
    glossary: Glossary | None = Field(
        default=None,
        description="a source's words: what they become in the translation; or one of the service's by name",
    )
    loop_guard: bool | None = taken(TranslateRequest, "loop_guard")
    target_prefix: str | None = taken(TranslateRequest, "target_prefix")
    min_length_ratio: float | None = taken(TranslateRequest, "min_length_ratio")
    max_length_ratio: float | None = taken(TranslateRequest, "max_length_ratio")
    return_alignment: bool | None = taken(TranslateRequest, "return_alignment")
    alignment_layer: int | None = taken(TranslateRequest, "alignment_layer")
    confidence: bool | None = taken(TranslateRequest, "confidence")
    details: bool | None = Field(default=None, description="true: finish reason, tokens and sentences come along")
    generate_parameters: TranslateParameters | None = Field(
        default=None, description="any of these parameters, as the translation client sends them"
    )
    priority: Priority = None
    clean_up_tokenization_spaces: Annotated[Any, Neutral(False)] = None
    truncation: Annotated[Any, Neutral("do_not_truncate")] = None

    @model_validator(mode="before")
    @classmethod
    def _flatten_generate_parameters(cls, value: Any) -> Any:
        # InferenceClient.translation() has no other way to send max_new_tokens and the like.
        while isinstance(value, dict) and isinstance(nested := value.get("generate_parameters"), dict):
            value = {name: given for name, given in value.items() if name != "generate_parameters"}
            for name, given in nested.items():
                if value.get(name) is None:
                    value[name] = given
                elif given is not None and not same(given, value[name]):
                    raise PydanticCustomError(
                        "given_twice",
                        "{name} is {outer} and in generate_parameters {inner}: they are the same, send one",
                        {"name": name, "outer": quoted(value[name]), "inner": quoted(given)},
                    )
        return value


class TranslationDetails(BaseModel):
    finish_reason: FinishReason
    input_length: int
    generated_tokens: int
    seed: int | None


class Translation(completions.TextOfSeveral):
    alternatives: list[completions.TextOfSeveral] | None = None
    alignment: completions.AlignmentWeights | None = None
    sentences: list[completions.TranslatedSentence] | None = None
    detected_language: completions.DetectedLanguage | None = None
    confidence: completions.ConfidenceDetails | None = None
    finish_reason: FinishReason | None = None
    details: TranslationDetails | None = None


class TranslateBody(completions.CompletionBody):
    summary: ClassVar = "Translate texts"
    does: ClassVar = "translates texts"
    expected: ClassVar = {
        **completions.CompletionBody.expected,
        "parameters.glossary": (
            f"at most {MOST_ENTRIES} texts of 1 to 200 characters with what they become, or the name of a glossary"
        ),
    }
    answer: ClassVar = list[Translation]
    streams_beams = True  # each sentence at its end

    parameters: TranslateParameters | None = None

    def all_texts(self) -> Iterator[NamedText]:
        yield from self.texts()
        if self.parameters is not None and self.parameters.target_prefix is not None:
            yield NamedText(0, "parameters.target_prefix", self.parameters.target_prefix)

    @cached_property
    def languages(self) -> Choice:
        asked = self.parameters
        source, target = (None, None) if asked is None else (asked.src_lang, asked.tgt_lang)
        return Choice(source, target, "src_lang and tgt_lang")

    def detect(self, info: ModelInfo) -> ToDetect | None:
        possible = self.languages.possible(info.language_pairs)
        return None if possible is None else ToDetect(self.inputs, possible)

    def requests(self, info: ModelInfo, envelope: Envelope) -> list[TranslateRequest]:
        asked = self.parameters or TranslateParameters()
        glossary = self._glossary(asked.glossary, envelope)
        pairs = self.languages.of(info.language_pairs, envelope.detected, self.count)
        decoding = self.decoding_for(info)
        aligns = asked.alignment_layer is not None if asked.return_alignment is None else asked.return_alignment
        return [
            TranslateRequest(
                text=text,
                source_language=source,
                target_language=target,
                format=asked.format or "text",
                split=asked.split or "sentences",
                protect=asked.protect is not False,
                capitals=asked.capitals is not False,
                glossary=glossary,
                loop_guard=asked.loop_guard is not False,
                decoding=decoding,
                target_prefix=asked.target_prefix or "",
                min_length_ratio=asked.min_length_ratio,
                max_length_ratio=asked.max_length_ratio,
                return_alignment=aligns,
                alignment_layer=asked.alignment_layer,
                confidence=asked.confidence is True,
                **envelope.of(index, asked.priority),
            )
            for index, (text, (source, target)) in enumerate(zip(self.inputs, pairs, strict=True))
        ]

    def _glossary(self, glossary: Any, envelope: Envelope) -> Entries:
        if isinstance(glossary, str):
            return used(named(envelope.glossaries, glossary, "parameters.glossary"), self.inputs)
        return used(tuple((glossary or {}).items()), self.inputs)

    def rendered_one(self, answer: Answer) -> dict[str, Any]:
        result, asked = answer.result, self.parameters
        assert isinstance(result, Completion)
        wants_details = asked is not None and bool(asked.details)
        of_each = wants_details or completions.differ_by_sentence(result)
        details = {
            "finish_reason": result.finish_reason,
            "input_length": result.prompt_tokens,
            "generated_tokens": result.generated_tokens,
            "seed": result.seed,
        }
        return {
            **completions.texts("translation_text", result),
            **completions.alignment(result),
            **(completions.sentences(result) if of_each else {}),
            **completions.detected_language(answer.detected),
            **completions.confidence(result),
            **({} if result.finish_reason == "eos_token" else {"finish_reason": result.finish_reason}),
            **({"details": details} if wants_details else {}),
        }
