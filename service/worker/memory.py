"""What a model's state takes and how much memory is left for it, so that what does not fit is refused with
figures before it is allocated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from models.interface import Servable, State, StateSize
from models.machine import machine_available_bytes


def available_bytes(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device`; None where nobody knows."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch's allocator keeps for reuse is not free to others, but to us.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return machine_available_bytes()


@dataclass(frozen=True, kw_only=True)
class CacheLayout:
    """What the model is asked for."""

    model: Servable
    size: StateSize
    prefix_slots: int  # of those that the size has

    @property
    def nbytes(self) -> int:
        state: State = self.model.new_state(replace(self.size, device="meta"))
        return state.nbytes

    def allocate(self) -> State:
        return self.model.new_state(self.size)

    def check_fits(self) -> None:
        """Raises ValueError with the sizes where the buffers are larger than the memory that is left."""
        slots, device = self.size.slots, torch.device(self.size.device)
        needed, available = self.nbytes, available_bytes(device)
        if available is not None and needed > available:
            prefixes = f" and {self.prefix_slots} prefix_slots" if self.prefix_slots else ""
            prompts = f" and prompts of {self.size.source_length}" if self.size.source_length else ""
            fitting = max(0, available * slots // needed - self.prefix_slots)
            raise ValueError(
                f"the key/value cache of {slots - self.prefix_slots} slots{prefixes} for {self.size.length} tokens"
                f"{prompts} needs {mib(needed)}, but {mib(available)} are available on {device}, enough for "
                f"{fitting} slots{prefixes}: lower slots, prefix_slots, max_prompt_tokens or max_new_tokens"
            )


def mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
