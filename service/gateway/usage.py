"""What answers have used, as protocols say it that say it as OpenAI does."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from service.messages import Completion


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


def usage(results: Iterable[Completion], choices: int = 1) -> dict[str, int]:
    """Of results that are `choices` for each prompt, which counts once."""
    found = list(results)
    prompts = sum(result.prompt_tokens for result in found[::choices])
    written = sum(result.generated_tokens for result in found)
    return {"prompt_tokens": prompts, "completion_tokens": written, "total_tokens": prompts + written}
