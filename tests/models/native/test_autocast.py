from __future__ import annotations

import torch

from models.native.attention import computes


@torch.inference_mode()
def test_under_autocast_no_kernel_is_asked() -> None:
    """Layers give bfloat16 then, whatever their weights are in."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not computes(torch.zeros(1))
