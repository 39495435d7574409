"""How much memory is left for a model, so that what does not fit is refused with figures before it is allocated."""

from __future__ import annotations

import torch

from models.memory import machine_available_bytes


def available_bytes(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device`; None where nobody knows."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch's allocator keeps for reuse is not free to others, but to us.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return machine_available_bytes()
