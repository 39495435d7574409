"""What an operator may choose of a model's engine: names, bounds and defaults, for settings, workers and benchmarks.

Knows nothing of torch, and of who checks the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

Positive = Annotated[int, Gt(0)]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"  # the fastest the hardware computes natively
    shortlist: bool = False  # translators: choose among the tokens of the checkpoint's table alone
    slots: Positive = 64  # sequences that run at once
    prefix_slots: Annotated[int, Ge(0)] = 16  # prompts that are kept, for those that begin like them; generators
    max_prompt_tokens: Positive | None = None  # None: the model's own limit
    max_new_tokens: Positive | None = None  # None: the model's own limit
    prefill_tokens: Positive = 512  # padded prompt tokens a step may prefill
    max_waiting: Positive = 1024  # requests that may wait; one more is refused with 503
    max_waiting_tokens: Positive = 65536  # of their prompts; a request beyond it is refused with 503
