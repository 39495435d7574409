"""How the bodies of completions and chats say what decoding is to be.

Parameters that we have and OpenAI has not go by the names that other servers of its API give them. Knows nothing of
prompts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, create_model

from service.errors import InvalidRequest
from service.gateway.fields import Body, Neutral, fields_of, frozen, taken
from service.gateway.limits import check_decoding
from service.gateway.openai.body import Head, OpenAIBody, User
from service.gateway.streaming import Rendering
from service.gateway.traffic import Envelope
from service.messages import SEEDS, Decoding, GenerateRequest, ModelInfo, Request, parameters_of

_FIELDS = fields_of(Decoding)
_STOPS = parameters_of(Decoding)["stop"].bounds
assert _STOPS.each is not None, "each stop string has a length"
_STOP_TEXT = {"type": "string", "minLength": _STOPS.each.min_length, "maxLength": _STOPS.each.max_length}
_STOP_LIST = {"type": "array", "items": _STOP_TEXT, "maxItems": _STOPS.max_length}
_StopTexts, _of_stop = _FIELDS["stop"]
_Stop: Any = Annotated[
    _StopTexts,
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [_STOP_TEXT, _STOP_LIST, {"type": "null"}]}),
]
_OURS = ("top_k", "min_p", "typical_p", "repetition_penalty", "no_repeat_ngram_size", "do_sample")
_SAME = ("seed", "stop", "frequency_penalty", "presence_penalty", "logit_bias", *_OURS)  # as in a request


class StreamOptions(Body):
    include_usage: bool | None = Field(default=None, description="true: the last chunk has usage, and no choices")
    include_obfuscation: Annotated[Any, Neutral(False)] = None


_Parameters = create_model(
    "_Parameters",
    __base__=Body,
    temperature=(float | None, Field(default=None, ge=0, description="0: the likeliest tokens; default: 1")),
    top_p=(float | None, Field(default=None, ge=0, le=1, description="0: the likeliest tokens; default: 1")),
    n=(int | None, taken(Decoding, "num_return_sequences")),
    seed=_FIELDS["seed"],
    stop=(_Stop, _of_stop),
    frequency_penalty=_FIELDS["frequency_penalty"],
    presence_penalty=_FIELDS["presence_penalty"],
    logit_bias=_FIELDS["logit_bias"],
    stream=(bool | None, Field(default=None, description="true: server-sent events")),
    stream_options=(StreamOptions | None, Field(default=None, description="of a stream")),
    user=(User, None),
    min_tokens=(int | None, taken(Decoding, "min_new_tokens")),
    **{name: _FIELDS[name] for name in _OURS},
    priority=(int | None, taken(Request, "priority")),
)


class SamplingBody(_Parameters, OpenAIBody):  # type: ignore[misc, valid-type]  # a class that is made of a table
    task = "generate"

    @property
    def choices(self) -> int:  # of each prompt
        return self.n or 1

    @property
    @abstractmethod
    def top_logprobs_asked(self) -> int | None: ...  # None: no log-probabilities

    @property
    def streamed(self) -> bool:
        return bool(self.stream)

    @property
    def tokens(self) -> bool:
        return self.streamed or self.top_logprobs_asked is not None

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def check(self, max_inputs: int) -> None:
        super().check(max_inputs)
        if self.stream_options is not None and not self.stream:
            raise InvalidRequest("stream_options is given without stream: true", parameter="stream_options")

    @abstractmethod
    def most_tokens(self, info: ModelInfo) -> int | None: ...

    def decoding(self, info: ModelInfo) -> Decoding:
        given = {name: frozen(value) for name in _SAME if (value := getattr(self, name)) is not None}
        given |= {name: value for name in ("temperature", "top_p") if (value := getattr(self, name))}
        if self.do_sample is None or 0 in (self.temperature, self.top_p):
            given["do_sample"] = 0 not in (self.temperature, self.top_p)
        decoding = Decoding(
            max_new_tokens=self.most_tokens(info),
            min_new_tokens=self.min_tokens or 0,
            top_n_tokens=self.top_logprobs_asked or 0,
            **given,
        )
        check_decoding(decoding, info, self.called)
        return decoding

    @abstractmethod
    def rendering(self, head: Head, ids: Sequence[str]) -> Rendering: ...  # of a stream, with the requests' ids

    @abstractmethod
    def prompts(self) -> Sequence[dict[str, Any]]: ...  # of each, the fields of a request that say it

    def requests(self, info: ModelInfo, envelope: Envelope) -> list[GenerateRequest]:
        """One for each choice: each sample is what a request for one with its seed gets, and can be streamed."""
        decoding = self.decoding(info)
        seeds = [None if decoding.seed is None else (decoding.seed + number) % SEEDS for number in range(self.choices)]
        return [
            GenerateRequest(
                decoding=replace(decoding, seed=seed),
                **prompt,
                **envelope.of(place * self.choices + number, self.priority),
            )
            for place, prompt in enumerate(self.prompts())
            for number, seed in enumerate(seeds)
        ]
