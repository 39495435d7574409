"""POST /v1/completions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.errors import InvalidRequest
from service.gateway.answering import Answer
from service.gateway.fields import TEXT, Neutral, taken
from service.gateway.limits import NamedText
from service.gateway.openai.answers import Finish, choices_of, finish, logprob, shown
from service.gateway.openai.body import Head, OpenAIBody
from service.gateway.openai.sampling import SamplingBody
from service.gateway.openai.streams import ChoiceStream, event_of
from service.gateway.usage import Timings, Usage, usage
from service.messages import Completion, Decoding, ModelInfo, Token, TopToken

MOST_TOKENS = 16  # unless more are asked for, as it is with OpenAI
MOST_ID = 2**31 - 1

_ID = {"type": "integer", "minimum": 0, "maximum": MOST_ID}
_IDS = {"type": "array", "items": _ID, "minItems": 1}
_SEVERAL = [{"type": "array", "items": each, "minItems": 1} for each in (TEXT, _IDS)]
_SCHEMA = {"anyOf": [TEXT, _IDS, *_SEVERAL]}
Prompt = str | tuple[int, ...]


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_ID


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_id, value))


def _prompts(value: Any) -> list[Prompt]:
    several = [value] if isinstance(value, str) or _is_ids(value) else value
    if not isinstance(several, list) or not (
        all(isinstance(each, str) for each in several) or all(map(_is_ids, several))
    ):
        raise PydanticCustomError("prompt", "a prompt, or several")
    return [each if isinstance(each, str) else tuple(each) for each in several]


class CompletionLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Finish | None


class TextCompletion(BaseModel):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[CompletionChoice]
    usage: Usage


class TextCompletionChunk(TextCompletion):
    """The data of one event of a stream."""

    usage: Usage | None = None  # type: ignore[assignment]  # only where it is asked for
    timings: Timings | None = None  # in the last


class _Prompted(OpenAIBody):
    prompt: Annotated[list[Prompt], PlainValidator(_prompts), WithJsonSchema(_SCHEMA)]
    max_tokens: int | None = taken(Decoding, "max_new_tokens")
    echo: bool | None = None
    logprobs: int | None = taken(Decoding, "top_n_tokens")


class CompletionBody(SamplingBody, _Prompted):  # the fields of the last base come first
    summary: ClassVar = "Continue prompts"
    answer: ClassVar = TextCompletion
    event: ClassVar = event_of(TextCompletionChunk)
    inputs = "prompt"
    renamed: ClassVar = {
        "max_new_tokens": "max_tokens",
        "min_new_tokens": "min_tokens",
        "top_n_tokens": "logprobs",
        "num_return_sequences": "n",
    }
    expected: ClassVar = {"prompt": "a text, a list of texts, a list of token ids, or a list of such lists"}

    best_of: int | None = None
    suffix: Annotated[Any, Neutral("")] = None

    @property
    def count(self) -> int:
        return len(self.prompt) * self.choices

    @property
    def top_logprobs_asked(self) -> int | None:
        return self.logprobs

    def texts(self) -> list[NamedText]:
        named = len(self.prompt) > 1
        return [
            NamedText(index, f"prompt[{index}]" if named else "prompt", text)
            for index, text in enumerate(self.prompt)
            if isinstance(text, str)
        ]

    def prompts(self) -> list[dict[str, Any]]:
        return [{"text": each} if isinstance(each, str) else {"text": "", "token_ids": each} for each in self.prompt]

    def most_tokens(self, info: ModelInfo) -> int:
        return min(MOST_TOKENS, info.max_new_tokens) if self.max_tokens is None else self.max_tokens

    def check(self, max_inputs: int) -> None:
        super().check(max_inputs)
        if self.best_of not in (None, self.choices):
            message = f"best_of is {self.best_of}, n is {self.choices}: choosing among more is not supported"
            raise InvalidRequest(message, parameter="best_of", limit=self.choices)
        if self.echo and self.logprobs is not None:
            message = "echo is true with logprobs: log-probabilities of prompts are not supported"
            raise InvalidRequest(message, parameter="echo")
        if self.echo and any(not isinstance(each, str) for each in self.prompt):
            raise InvalidRequest("echo is true with token ids: it is for prompts that are texts", parameter="echo")

    def _before(self, choice: int) -> str:
        """What the text of a choice begins with."""
        prompt = self.prompt[choice // self.choices]
        return prompt if self.echo and isinstance(prompt, str) else ""

    def _choice(
        self, index: int, text: str, tokens: Iterable[Token] = (), result: Completion | None = None, offset: int = 0
    ) -> dict[str, Any]:
        return {
            "index": index,
            "text": text,
            "logprobs": None if self.logprobs is None else _logprobs(tokens, offset),
            "finish_reason": None if result is None else finish(result),
        }

    def answered(self, head: Head, answers: Sequence[Answer]) -> dict[str, Any]:
        found = list(choices_of(answers))
        choices = [
            self._choice(index, self._before(index) + result.text, tokens, result) for index, result, tokens in found
        ]
        used = usage((result for _, result, _ in found), self.choices)
        return {**head.of("text_completion", "cmpl"), "choices": choices, "usage": used}

    def rendering(self, head: Head, ids: Sequence[str]) -> ChoiceStream:
        return ChoiceStream(
            head=head.of("text_completion", "cmpl"),
            ids=ids,
            choices=self.choices,
            includes_usage=self.includes_usage,
            begin=lambda index: [self._choice(index, before)] if (before := self._before(index)) else [],
            token=lambda index, token, offset: self._choice(index, token.text, [token], offset=offset),
            end=lambda index, result: self._choice(index, "", (), result),
            silent=self.logprobs is not None,
        )


def _logprobs(tokens: Iterable[Token], offset: int) -> dict[str, Any]:
    """`offset` is where in the text the first token begins."""
    found: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for token in shown(tokens):
        best: dict[str, float] = {}
        either: tuple[Token | TopToken, ...] = (*token.top_tokens, token)
        for one in either:  # of several that are written the same, the best
            best.setdefault(one.text, logprob(one))
        found["tokens"].append(token.text)
        found["token_logprobs"].append(logprob(token))
        found["top_logprobs"].append(best)
        found["text_offset"].append(offset)
        offset += len(token.text)
    return found
