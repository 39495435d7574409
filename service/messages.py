"""Plain dataclasses that cross the Ray boundary between the gateway and the workers.

A request goes in, events come out: of a streamed request one `Accepted` and then any number of `Token`, of every
request exactly one terminal event, which is a `Completion` (translate, generate), a `Classification` (classify) or a
`Failure`.

Knows nothing of HTTP, Ray, torch or pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from service.errors import BY_CODE, InvalidRequest, ServiceError

Task = Literal["translate", "generate", "classify"]
FinishReason = Literal["eos_token", "length", "stop_sequence"]
ScoreFunction = Literal["softmax", "sigmoid", "none"]

MOST_BEAMS = MOST_RESULTS = 16  # of one request: what it costs stays bounded


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
    no_repeat_ngram_size: int = 0  # so many tokens in a row never come twice; 0 lets them
    num_beams: int = 1  # more than 1: beam search
    num_return_sequences: int = 1  # the best of a beam search, or so many samples
    length_penalty: float = 1.0  # a result's score is its log-probability / its number of tokens ** this
    early_stopping: bool | Literal["never"] = False  # of a beam search, as in transformers

    def check_results(self, slots: int) -> None:
        """How many beams and results there are, and what goes with them. Raises InvalidRequest.

        `slots` is how many beams the model can run side by side.
        """
        _check_count("num_beams", self.num_beams, MOST_BEAMS)
        if self.num_beams > slots:
            raise InvalidRequest(
                f"num_beams is {self.num_beams}, the model has {slots} slots: each beam takes one",
                parameter="num_beams",
                value=self.num_beams,
                limit=slots,
            )
        _check_count("num_return_sequences", self.num_return_sequences, MOST_RESULTS)
        if self.num_beams > 1:
            self._check_beams()
        elif self.num_return_sequences > 1 and not self.do_sample:
            raise InvalidRequest(
                f"num_return_sequences is {self.num_return_sequences}, the limit of greedy decoding is 1: "
                f"set num_beams to at least {self.num_return_sequences}, or do_sample to true",
                parameter="num_return_sequences",
                limit=1,
            )

    def _check_beams(self) -> None:
        if self.num_return_sequences > self.num_beams:
            raise InvalidRequest(
                f"num_return_sequences is {self.num_return_sequences}, the limit is num_beams, {self.num_beams}",
                parameter="num_return_sequences",
                limit=self.num_beams,
            )
        reasons = {
            "sampling": self.do_sample and "the beams are the most likely ones, none is drawn",
            "stop": self.stop and "a beam ends at its end token or its length",
            "top_n_tokens": self.top_n_tokens and "the beams are the best tokens",
        }
        for name, reason in reasons.items():
            if reason:
                raise InvalidRequest(
                    f"num_beams is {self.num_beams}, which does not go with {name}: {reason}", parameter="num_beams"
                )


def _check_count(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        limit = 1 if value < 1 else most
        raise InvalidRequest(f"{name} is {value}, expected 1 to {most}", parameter=name, value=value, limit=limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    id: str  # unique among the requests alive in the application
    text: str
    stream: bool = False  # True: Token events of the first result come before the terminal one; a beam search has none
    priority: int = 0  # -10 to 10; lower is sooner
    deadline: float | None = None  # time.time() after which the answer is worthless


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslateRequest(_Request):
    source_language: str  # the gateway fills in what a client left out
    target_language: str
    decoding: Decoding = Decoding()
    target_prefix: str = ""  # what the translation begins with
    min_length_ratio: float | None = None  # new tokens for each token of the text, at least
    max_length_ratio: float | None = None  # at most; the end token counts
    return_alignment: bool = False
    alignment_layer: int | None = None  # of the decoder, from 0; None: the model's default


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
class Accepted:
    """The first event of a streamed request that the worker has not refused: it runs, or waits its turn."""

    request_id: str


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
class Alternative:
    """One more result of a request."""

    text: str
    score: float
    seed: int | None = None  # of a sampled one


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How much each token of a translation looked at each token of its source: cross-attention, mean over the heads.

    The texts of `source_tokens` join to the source as the model read it, those of `target_tokens` to the translation
    after its `target_prefix`. Tags and end tokens are among them, with an empty text; tokens that only together make a
    character are one.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]  # a row for each target token, over the source tokens; sums to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Terminal event of a translation or a generation."""

    request_id: str
    text: str  # of the best result; of several samples, of the one with the request's own seed
    finish_reason: FinishReason
    prompt_tokens: int
    generated_tokens: int
    seed: int | None = None  # of a sampled request
    score: float | None = None  # where several results were asked for
    alternatives: tuple[Alternative, ...] = ()  # the other results, best first; samples by their seeds
    alignment: Alignment | None = None
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
Event = Accepted | Token | Terminal


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
    max_characters: int | None = None  # of one text: a longer one has more than max_prompt_tokens whatever it says
    max_waiting: int = 0  # requests that may wait for a slot, in each replica
    takes_pairs: bool = False  # a classifier that was trained on pairs of texts
    examples: dict[str, Any] = field(default_factory=dict)  # bodies that the model answers well, by what they show
