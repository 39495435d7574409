from __future__ import annotations

import pytest
import torch

from models.machine import machine_available_bytes
from service.worker.memory import available_bytes

GIB = 2**30


def test_a_cpu_has_what_the_machine_has_left() -> None:
    assert available_bytes(torch.device("cpu")) == pytest.approx(machine_available_bytes(), rel=0.2)


def test_a_gpus_memory_that_torch_keeps_for_reuse_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: GIB)
    assert available_bytes(torch.device("cuda")) == 7 * GIB
