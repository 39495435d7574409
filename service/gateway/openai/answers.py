"""What the answers of completions and chats have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from service.gateway.answering import Answer
from service.messages import Completion, FinishReason, Token, TopToken

Finish = Literal["stop", "length"]
FINISH: dict[FinishReason, Finish] = {"eos_token": "stop", "stop_sequence": "stop", "loop": "stop", "length": "length"}
LEAST_LOGPROB = -9999.0  # JSON has no infinity, and OpenAI says this of what cannot be


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
