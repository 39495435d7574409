"""What the answers of completions and chats have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import BaseModel

from service.gateway.answering import Answer
from service.messages import Completion, FinishReason, Result, Token, TopToken

Finish = Literal["stop", "length"]
FINISH: dict[FinishReason, Finish] = {"eos_token": "stop", "stop_sequence": "stop", "loop": "stop", "length": "length"}
LEAST_LOGPROB = -9999.0  # JSON has no infinity, and OpenAI says this of what cannot be


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def usage(results: Iterable[Result], choices: int) -> dict[str, int]:
    """Of results that are `choices` for each prompt, which counts once."""
    found = list(results)
    prompts = sum(result.prompt_tokens for result in found[::choices])
    written = sum(result.generated_tokens for result in found if isinstance(result, Completion))
    return {"prompt_tokens": prompts, "completion_tokens": written, "total_tokens": prompts + written}


def finish(result: Completion) -> Finish:
    return FINISH[result.finish_reason]


def logprob(token: Token | TopToken) -> float:
    return max(token.logprob, LEAST_LOGPROB)


def shown(tokens: Iterable[Token]) -> Iterator[Token]:
    """Those that are text: the end token is none."""
    return (token for token in tokens if not token.special)


def choices_of(answers: Sequence[Answer]) -> Iterator[tuple[int, Completion, list[Token]]]:
    """Index, result and tokens of each."""
    for index, answer in enumerate(answers):
        assert isinstance(answer.result, Completion)
        yield index, answer.result, answer.tokens
