"""Bodies that clients send, in Hugging Face's Inference convention; what they get is in `answers`.

Knows what a request may look like; knows nothing of the models, whose limits are checked in `requests`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.gateway.fields import (
    Body,
    EarlyStopping,
    LogitBias,
    ModelName,
    Neutral,
    Priority,
    StopStrings,
    Streamed,
    TextPairs,
    Texts,
    same,
)
from service.gateway.quoting import quoted
from service.messages import MOST_BEAMS, MOST_RESULTS


class DecodingParameters(Body):
    """How tokens are chosen. A temperature other than 1, a top_k, a top_p or typical_p below 1 or a min_p above 0
    implies sampling, as in text-generation-inference, unless do_sample is false. Bias and penalties hold in any case.
    """

    max_new_tokens: int | None = Field(default=None, ge=1, description="default and most: the model's own limit")
    num_beams: int | None = Field(
        default=None, ge=1, le=MOST_BEAMS, description="above 1: beam search; at most the model's slots"
    )
    do_sample: bool | None = Field(default=None, description="default: false, unless a sampling parameter is given")
    temperature: float | None = Field(default=None, gt=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1, lt=2**31)
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="default: drawn for each text")
    stop: StopStrings | None = Field(default=None, description="the text ends before the first of them")
    num_return_sequences: int | None = Field(
        default=None, ge=1, le=MOST_RESULTS, description="the best of num_beams, or so many samples"
    )
    n: int | None = Field(default=None, ge=1, le=MOST_RESULTS, description="the same as num_return_sequences")
    min_new_tokens: int | None = Field(default=None, ge=0, description="the end token is ruled out until then")
    min_p: float | None = Field(default=None, ge=0, le=1, description="share of the best token's probability")
    typical_p: float | None = Field(default=None, gt=0, le=1)
    repetition_penalty: float | None = Field(
        default=None, ge=0.01, le=100, description="1 is none; on prompt and output, for translations on the output"
    )
    presence_penalty: float | None = Field(default=None, ge=-2, le=2, description="0 is none; on the output")
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2, description="0 is none; on the output")
    no_repeat_ngram_size: int | None = Field(
        default=None, ge=0, lt=2**31, description="so many tokens in a row never come twice; 0 lets them"
    )
    length_penalty: float | None = Field(
        default=None, ge=-10, le=10, description="score: log-probability / tokens ** this; default: 1"
    )
    early_stopping: EarlyStopping | None = Field(default=None, description="of a beam search; default: false")
    logit_bias: LogitBias | None = Field(default=None, description="token id: what is added to its logit")
    top_n_tokens: int | None = Field(default=None, ge=0, le=20, description="best tokens with each one, where listed")

    @model_validator(mode="after")
    def _one_number_of_results(self) -> DecodingParameters:
        if None not in (self.n, self.num_return_sequences) and self.n != self.num_return_sequences:
            raise PydanticCustomError(
                "two_numbers",
                "n is {n} and num_return_sequences is {other}: they are the same, send one",
                {"n": self.n, "other": self.num_return_sequences},
            )
        return self

    @property
    def results(self) -> int:
        return self.num_return_sequences or self.n or 1

    @property
    def samples(self) -> bool:
        if self.do_sample is not None:
            return self.do_sample
        shares = (self.temperature, self.top_p, self.typical_p)
        return any(one not in (None, 1.0) for one in shares) or self.top_k is not None or bool(self.min_p)


class Languages(Body):
    src_lang: str | None = Field(default=None, description="may be left out where one language pair remains possible")
    tgt_lang: str | None = Field(default=None, description="may be left out where one language pair remains possible")


class TranslateParameters(DecodingParameters, Languages):  # the fields of the last base come first
    target_prefix: str | None = Field(default=None, description="what the translation begins with")
    min_length_ratio: float | None = Field(
        default=None, ge=0, le=100, description="new tokens for each token of the text, at least"
    )
    max_length_ratio: float | None = Field(
        default=None, gt=0, le=100, description="new tokens for each token of the text, at most"
    )
    return_alignment: bool | None = Field(
        default=None, description="which source tokens each token comes from; default: false, unless a layer is chosen"
    )
    alignment_layer: int | None = Field(default=None, ge=0, lt=2**31, description="of the decoder, from 0")
    generate_parameters: TranslateParameters | None = Field(
        default=None, description="any of these parameters, as the translation client sends them"
    )
    priority: Priority = None
    clean_up_tokenization_spaces: Annotated[Any, Neutral(False)] = None
    truncation: Annotated[Any, Neutral("do_not_truncate")] = None

    @property
    def aligns(self) -> bool:
        return self.alignment_layer is not None if self.return_alignment is None else self.return_alignment

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


class GenerateParameters(DecodingParameters):
    return_full_text: bool | None = Field(default=None, description="true: the text starts with the prompt")
    details: bool | None = Field(default=None, description="true: finish reason, seed and tokens come along")
    priority: Priority = None
    adapter_id: Annotated[Any, Neutral()] = None
    best_of: Annotated[Any, Neutral(1)] = None
    decoder_input_details: Annotated[Any, Neutral(False)] = None
    grammar: Annotated[Any, Neutral()] = None
    truncate: Annotated[Any, Neutral()] = None
    watermark: Annotated[Any, Neutral(False)] = None


class ClassifyParameters(Body):
    top_k: int | None = Field(default=None, ge=1, lt=2**31, description="how many labels, best first; default: all")
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        default=None, description="default: the model's own"
    )
    priority: Priority = None


class TranslateBody(Body):
    inputs: Texts
    parameters: TranslateParameters | None = None
    stream: Streamed = None
    model: ModelName = None


class GenerateBody(Body):
    inputs: Texts
    parameters: GenerateParameters | None = None
    stream: Streamed = None
    model: ModelName = None


class ClassifyBody(Body):
    inputs: TextPairs
    parameters: ClassifyParameters | None = None
    stream: Streamed = None
    model: ModelName = None
