"""What answers have used: tokens, as protocols say it that say it as OpenAI does, and time."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from service.messages import Completion


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Timings(BaseModel):
    """Of several answers the slowest: they are worked on at once."""

    queue_ms: float
    inference_ms: float


def usage(results: Iterable[Completion], choices: int = 1) -> dict[str, int]:
    """Of results that are `choices` for each prompt, which counts once."""
    found = list(results)
    prompts = sum(result.prompt_tokens for result in found[::choices])
    written = sum(result.generated_tokens for result in found)
    return {"prompt_tokens": prompts, "completion_tokens": written, "total_tokens": prompts + written}


def timings(results: Iterable[Completion]) -> dict[str, float]:
    measured = [result.timing for result in results]
    return {
        "queue_ms": round(max(each.queue_ms for each in measured), 2),
        "inference_ms": round(max(each.inference_ms for each in measured), 2),
    }
