"""Answers as the plain JSON that Hugging Face's clients parse. Knows nothing of HTTP."""

from __future__ import annotations

from typing import Any

from service.gateway.answering import Answer
from service.messages import Classification, Completion, Token, TopToken


def translation(answer: Answer) -> dict[str, Any]:
    assert isinstance(answer.result, Completion)
    return {"translation_text": answer.result.text}


def generation(answer: Answer, *, details: bool) -> dict[str, Any]:
    assert isinstance(answer.result, Completion)
    result = answer.result
    if not details:
        return {"generated_text": result.text}
    return {
        "generated_text": result.text,
        "details": {
            "finish_reason": result.finish_reason,
            "generated_tokens": result.generated_tokens,
            "seed": result.seed,
            "prefill": [],
            "tokens": [token_object(token) for token in answer.tokens],
            **_top_tokens([_best(token) for token in answer.tokens]),
        },
    }


def classification(answer: Answer) -> list[dict[str, Any]]:
    assert isinstance(answer.result, Classification)
    return [{"label": label, "score": score} for label, score in answer.result.scores]


def token_object(token: Token | TopToken) -> dict[str, Any]:
    return {"id": token.id, "text": token.text, "logprob": token.logprob, "special": token.special}


def _best(token: Token) -> list[dict[str, Any]]:
    return [token_object(one) for one in token.top_tokens]


def _top_tokens(best: list[Any]) -> dict[str, Any]:
    """Only where they were asked for, as text-generation-inference has it."""
    return {"top_tokens": best} if any(best) else {}


def token_event(token: Token) -> dict[str, Any]:
    """One event of a stream, as text-generation-inference sends it; its index counts from 1."""
    return {
        "index": token.index + 1,
        "token": token_object(token),
        **_top_tokens(_best(token)),
        "generated_text": None,
        "details": None,
    }


def last_event(token: Token, result: Completion) -> dict[str, Any]:
    """The event that ends a stream: the last token with the whole text."""
    return {
        **token_event(token),
        "generated_text": result.text,
        "details": {
            "finish_reason": result.finish_reason,
            "generated_tokens": result.generated_tokens,
            "seed": result.seed,
            "input_length": result.prompt_tokens,
        },
    }
