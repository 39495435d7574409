"""Answers as the plain JSON that Hugging Face's clients parse. Knows nothing of HTTP."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from service.gateway.answering import Answer
from service.messages import Alternative, Classification, Completion, Token, TopToken


def translation(answer: Answer) -> dict[str, Any]:
    assert isinstance(answer.result, Completion)
    return {**_texts("translation_text", answer.result), **_alignment(answer.result)}


def generation(answer: Answer, *, details: bool) -> dict[str, Any]:
    assert isinstance(answer.result, Completion)
    result = answer.result
    texts = _texts("generated_text", result)
    if not details:
        return texts
    return {
        **texts,
        "details": {
            "finish_reason": result.finish_reason,
            "generated_tokens": result.generated_tokens,
            "seed": result.seed,
            "prefill": [],
            "tokens": [token_object(token) for token in answer.tokens],
            **_top_tokens([_best(token) for token in answer.tokens]),
        },
    }


def _texts(name: str, result: Completion) -> dict[str, Any]:
    """The text; with score, seed and the others where several results were asked for."""
    if result.score is None:
        return {name: result.text}
    others = [{name: other.text, **_score(other)} for other in result.alternatives]
    return {name: result.text, **_score(result), "alternatives": others}


def _score(result: Completion | Alternative) -> dict[str, Any]:
    # Infinitely bad is the one beam of a search in which every token came to be ruled out; JSON has no infinity.
    score = result.score if result.score is not None and isfinite(result.score) else None
    return {"score": score, **({} if result.seed is None else {"seed": result.seed})}


def _alignment(result: Completion) -> dict[str, Any]:
    """Four digits of each weight: a long text has many of them."""
    if result.alignment is None:
        return {}
    alignment = asdict(result.alignment)
    return {"alignment": alignment | {"weights": [[round(w, 4) for w in row] for row in alignment["weights"]]}}


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
        **_alignment(result),
        "details": {
            "finish_reason": result.finish_reason,
            "generated_tokens": result.generated_tokens,
            "seed": result.seed,
            "input_length": result.prompt_tokens,
        },
    }
