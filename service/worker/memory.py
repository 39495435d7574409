"""What a model's key/value cache takes and how much memory is left for it, so that what does not fit is refused with
figures before it is allocated."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from models.cache import KeyValueCache
from models.config import CacheShape
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
    """What `KeyValueCache.allocate` is asked for."""

    shape: CacheShape
    slots: int  # those of prefixes among them
    prefix_slots: int
    length: int
    source_length: int
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        return KeyValueCache.size_in_bytes(
            self.shape, slots=self.slots, length=self.length, source_length=self.source_length, dtype=self.dtype
        )

    def allocate(self, device: torch.device) -> KeyValueCache:
        return KeyValueCache.allocate(
            self.shape,
            slots=self.slots,
            length=self.length,
            source_length=self.source_length,
            dtype=self.dtype,
            device=device,
        )

    def check_fits(self, device: torch.device) -> None:
        """Raises ValueError with the sizes where the buffers are larger than the memory that is left."""
        needed, available = self.nbytes, available_bytes(device)
        if available is not None and needed > available:
            prefixes = f" and {self.prefix_slots} prefix_slots" if self.prefix_slots else ""
            prompts = f" and prompts of {self.source_length}" if self.source_length else ""
            fitting = max(0, available * self.slots // needed - self.prefix_slots)
            raise ValueError(
                f"the key/value cache of {self.slots - self.prefix_slots} slots{prefixes} for {self.length} tokens"
                f"{prompts} needs {mib(needed)}, but {mib(available)} are available on {device}, enough for "
                f"{fitting} slots{prefixes}: lower slots, prefix_slots, max_prompt_tokens or max_new_tokens"
            )


def mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
