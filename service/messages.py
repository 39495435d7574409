"""Plain dataclasses that cross the Ray boundary between the gateway and the workers.

A request goes in, events come out: any number of `Token` (only for a streamed request), then exactly one terminal
event, which is a `Completion` (translate, generate), a `Classification` (classify) or a `Failure`.

Knows nothing of HTTP, Ray, torch or pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from service.errors import BY_CODE, ServiceError

Task = Literal["translate", "generate", "classify"]
FinishReason = Literal["eos_token", "length", "stop_sequence"]
ScoreFunction = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How tokens are chosen. The defaults are greedy decoding."""

    max_new_tokens: int | None = None  # None: the model's own limit
    do_sample: bool = False
    temperature: float = 1.0  # > 0; used when do_sample
    top_k: int | None = None  # >= 1; None keeps all
    top_p: float | None = None  # in (0, 1]; None keeps all
    min_p: float | None = None  # in [0, 1]; None keeps all
    typical_p: float | None = None  # in (0, 1]; None keeps all
    repetition_penalty: float = 1.0  # > 0; of prompt and output, for translations of the output
    presence_penalty: float = 0.0  # of the output
    frequency_penalty: float = 0.0  # of the output
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, what is added to its logit)
    min_new_tokens: int = 0  # until then the end token is ruled out
    stop: tuple[str, ...] = ()  # the text ends before the first of them
    top_n_tokens: int = 0  # so many best tokens come with each Token of a streamed request
    seed: int | None = None  # None: drawn by the worker and reported in Completion.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    id: str  # unique among the requests alive in the application
    text: str
    stream: bool = False  # True: Token events come before the terminal one
    deadline: float | None = None  # time.time() after which the answer is worthless


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslateRequest(_Request):
    source_language: str  # the gateway fills in what a client left out
    target_language: str
    decoding: Decoding = Decoding()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(_Request):
    return_full_text: bool = False  # True: the completion starts with the prompt
    decoding: Decoding = Decoding()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRequest(_Request):
    text_pair: str | None = None  # second text, for models trained on pairs
    top_k: int | None = None  # >= 1; how many labels come back, best first; None: all
    function_to_apply: ScoreFunction | None = None  # None: the model's own, softmax unless its manifest says otherwise


Request = TranslateRequest | GenerateRequest | ClassifyRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds as the worker saw them."""

    queue_ms: float = 0.0  # from arrival at the worker to the first step that included the request
    inference_ms: float = 0.0  # from there to the end


@dataclass(frozen=True, slots=True, kw_only=True)
class TopToken:
    """One of the most likely tokens of a step."""

    id: int
    text: str  # of this token alone
    logprob: float
    special: bool = False  # True for tokens that leave no trace in the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One generated token. The `text`s of a stream join to exactly `Completion.text` (without the prompt)."""

    request_id: str
    index: int  # 0, 1, ...
    id: int
    text: str  # may be empty: half a character is held back until it is whole
    logprob: float
    special: bool = False  # True for the end token, whose text is empty
    top_tokens: tuple[TopToken, ...] = ()  # best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Terminal event of a translation or a generation."""

    request_id: str
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    generated_tokens: int
    seed: int | None = None  # of a sampled request
    timing: Timing = Timing()
    model_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """Terminal event of a classification."""

    request_id: str
    scores: tuple[tuple[str, float], ...]  # (label, score), best first
    prompt_tokens: int
    timing: Timing = Timing()
    model_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Terminal event of a request that could not be answered: a `ServiceError` by value."""

    request_id: str
    code: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, request_id: str, error: ServiceError) -> Failure:
        return cls(request_id=request_id, code=error.code, message=error.message, details=error.details)

    def error(self) -> ServiceError:
        return BY_CODE.get(self.code, ServiceError)(self.message, **self.details)


Terminal = Completion | Classification | Failure
Event = Token | Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What `/info` says of one model and what the gateway needs to know to check a request."""

    name: str  # the name in the settings
    task: Task
    version: str  # name@version of the checkpoint
    architecture: str  # seq2seq, gpt, bert
    parameters: int  # number of weights
    device: str  # cpu, cuda:0, ...
    precision: str  # float32, bfloat16, ...
    slots: int
    max_prompt_tokens: int
    max_new_tokens: int
    language_pairs: tuple[tuple[str, str], ...] = ()  # (source, target) of a translator
    labels: tuple[str, ...] = ()  # of a classifier
    scores: dict[str, Any] = field(default_factory=dict)  # as measured and written in the manifest
    licence: str = ""
    kv_cache_bytes: int = 0  # of a replica's key/value buffers
