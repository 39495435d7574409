"""Bodies that clients send and answers they get, in Hugging Face's Inference convention.

Knows what a request may look like; knows nothing of the models, whose limits are checked in `requests`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from service.messages import MOST_BEAMS, MOST_RESULTS


class Body(BaseModel):
    """Strict: a misspelt field is an error, and so is "5" for 5."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_pair(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


def _token_ids(value: Any, info: ValidationInfo) -> Any:
    """JSON has names for keys: "15" is token 15."""
    if not isinstance(value, dict):
        return value
    wrong = next((key for key in value if not (isinstance(key, str) and TOKEN_ID.fullmatch(key))), None)
    if wrong is not None:
        raise PydanticCustomError("token_id", "{key} is no token id, expected a whole number", {"key": repr(wrong)})
    return {int(key): bias for key, bias in value.items()}


def neutral_only(*neutral: Any) -> Callable[[Any, ValidationInfo], Any]:
    """A check for what clients send by default and we do not do: only values that change nothing."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if value is not None and value not in neutral:
            allowed = " or ".join(repr(one) for one in neutral)
            raise PydanticCustomError(
                "not_supported",
                "this parameter is not supported: leave it out{alternative}",
                {"alternative": f" or send {allowed}" if neutral else ""},
            )
        return value

    return check


Texts = Annotated[
    list[str],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


TOKEN_ID = re.compile("0|[1-9][0-9]{0,9}")
Bias = Annotated[float, Field(ge=-100, le=100)]
LogitBias = Annotated[
    dict[int, Bias],
    Field(max_length=1024),
    BeforeValidator(_token_ids),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}}),
]
EarlyStopping = Literal[True, False, "never"]
StopStrings = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=256)]],
    Field(max_length=16),
]


class TextPair(Body):
    """A text, or two for models trained on pairs."""

    text: str
    text_pair: str | None = None


_TEXT_OR_PAIR = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"text": {"type": "string"}, "text_pair": {"type": "string"}},
            "required": ["text"],
        },
    ]
}
TextPairs = Annotated[
    list[Annotated[TextPair, BeforeValidator(_as_pair)]],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [*_TEXT_OR_PAIR["anyOf"], {"type": "array", "items": _TEXT_OR_PAIR}]}),
]


class Parameters(Body):
    priority: int | None = Field(default=None, ge=-10, le=10, description="lower is sooner; default: 0")


class DecodingParameters(Parameters):
    """How tokens are chosen. A temperature other than 1, a top_k, a top_p or typical_p below 1 or a min_p above 0
    implies sampling, as in text-generation-inference, unless do_sample is false. Bias and penalties hold in any case.
    """

    max_new_tokens: int | None = Field(default=None, ge=1, description="default and most: the model's own limit")
    min_new_tokens: int | None = Field(default=None, ge=0, description="the end token is ruled out until then")
    do_sample: bool | None = Field(default=None, description="default: false, unless a sampling parameter is given")
    temperature: float | None = Field(default=None, gt=0)
    top_k: int | None = Field(default=None, ge=1, lt=2**31)
    top_p: float | None = Field(default=None, gt=0, le=1)
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
    logit_bias: LogitBias | None = Field(default=None, description="token id: what is added to its logit")
    stop: StopStrings | None = Field(default=None, description="the text ends before the first of them")
    top_n_tokens: int | None = Field(default=None, ge=0, le=20, description="best tokens with each one, where listed")
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="default: drawn for each text")
    num_beams: int | None = Field(
        default=None, ge=1, le=MOST_BEAMS, description="above 1: beam search; at most the model's slots"
    )
    num_return_sequences: int | None = Field(
        default=None, ge=1, le=MOST_RESULTS, description="the best of num_beams, or so many samples"
    )
    n: int | None = Field(default=None, ge=1, le=MOST_RESULTS, description="the same as num_return_sequences")
    length_penalty: float | None = Field(
        default=None, ge=-10, le=10, description="score: log-probability / tokens ** this; default: 1"
    )
    early_stopping: EarlyStopping | None = Field(default=None, description="of a beam search; default: false")

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


class TranslateParameters(DecodingParameters):
    src_lang: str | None = Field(default=None, description="may be left out where one language pair remains possible")
    tgt_lang: str | None = Field(default=None, description="may be left out where one language pair remains possible")
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
    clean_up_tokenization_spaces: Annotated[Any, AfterValidator(neutral_only(False))] = None
    truncation: Annotated[Any, AfterValidator(neutral_only("do_not_truncate"))] = None

    @property
    def aligns(self) -> bool:
        return self.alignment_layer is not None if self.return_alignment is None else self.return_alignment

    @model_validator(mode="before")
    @classmethod
    def _flatten_generate_parameters(cls, value: Any) -> Any:
        # InferenceClient.translation() has no other way to send max_new_tokens and the like.
        if isinstance(value, dict) and isinstance(nested := value.get("generate_parameters"), dict | None):
            rest = {name: given for name, given in value.items() if name != "generate_parameters"}
            return {**(nested or {}), **rest}
        return value


class GenerateParameters(DecodingParameters):
    return_full_text: bool | None = Field(default=None, description="true: the text starts with the prompt")
    details: bool | None = Field(default=None, description="true: finish reason, seed and tokens come along")
    adapter_id: Annotated[Any, AfterValidator(neutral_only())] = None
    best_of: Annotated[Any, AfterValidator(neutral_only(1))] = None
    decoder_input_details: Annotated[Any, AfterValidator(neutral_only(False))] = None
    grammar: Annotated[Any, AfterValidator(neutral_only())] = None
    truncate: Annotated[Any, AfterValidator(neutral_only())] = None
    watermark: Annotated[Any, AfterValidator(neutral_only(False))] = None


class ClassifyParameters(Parameters):
    top_k: int | None = Field(default=None, ge=1, lt=2**31, description="how many labels, best first; default: all")
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        default=None, description="default: the model's own"
    )


class TaskBody(Body):
    model: str | None = Field(default=None, description="which model, where several serve the task; default: the first")
    stream: bool | None = Field(default=None, description="true: server-sent events, for exactly one input")


class TranslateBody(TaskBody):
    inputs: Texts
    parameters: TranslateParameters | None = None


class GenerateBody(TaskBody):
    inputs: Texts
    parameters: GenerateParameters | None = None


class ClassifyBody(TaskBody):
    inputs: TextPairs
    parameters: ClassifyParameters | None = None


# Answers. They document: what is sent is built as plain dicts, in `rendering`.


class Result(BaseModel):
    """What several results have beside their text."""

    score: float | None = None
    seed: int | None = None


class TranslationText(Result):
    translation_text: str


class AlignmentWeights(BaseModel):
    source_tokens: list[str]
    target_tokens: list[str]
    weights: list[list[float]]


class Translation(TranslationText):
    alternatives: list[TranslationText] | None = None
    alignment: AlignmentWeights | None = None


class TokenDetails(BaseModel):
    id: int
    text: str
    logprob: float
    special: bool


class GenerationDetails(BaseModel):
    finish_reason: Literal["eos_token", "length", "stop_sequence"]
    generated_tokens: int
    seed: int | None
    prefill: list[TokenDetails]
    tokens: list[TokenDetails]
    top_tokens: list[list[TokenDetails]] | None = None


class GeneratedText(Result):
    generated_text: str


class Generation(GeneratedText):
    alternatives: list[GeneratedText] | None = None
    details: GenerationDetails | None = None


class LabelScore(BaseModel):
    label: str
    score: float


class ErrorDetails(BaseModel):
    code: str
    message: str
    request_id: str


class ErrorAnswer(BaseModel):
    error: ErrorDetails
