import subprocess
import sys
from pathlib import Path

import torch

from models.training.parallel import ALONE

ROOT = Path(__file__).parents[3]
WORKER = """
import os, sys
import torch, torch.distributed as dist
from models.training.parallel import LostWorkerError, TorchGroup
dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=int(sys.argv[2]), world_size=2)
group = TorchGroup(lambda: True)
assert (group.rank, group.size, group.stop_asked()) == (int(sys.argv[2]), 2, True)
assert group.sum([group.rank, 1e9 + 1]) == [1.0, 2e9 + 2]
tensors = [torch.full((2, 3), group.rank + 1.0), torch.tensor(float(group.rank))]
group.sum_in_place(tensors)
assert torch.equal(tensors[0], torch.full((2, 3), 3.0)) and tensors[1] == 1
tensors = [torch.full((2, 3), float(group.rank)), torch.full((4,), 5.0 - group.rank)]
group.copy_from_first(tensors)
assert tensors[0].sum() == 0 and tensors[1].sum() == 20
if group.rank == 1:
    os._exit(0)
try:
    group.sum([1.0])
except LostWorkerError as error:
    print(error, flush=True)
os._exit(0)  # gloo's threads may abort an interpreter that ends in order after it has lost a peer
"""


def test_workers_sum_copy_and_notice_that_one_is_gone(tmp_path):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "store"), str(rank)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    assert "worker 0 of 2 lost another" in said[0]


def test_one_worker_is_a_group_that_needs_no_network():
    assert (ALONE.rank, ALONE.size, ALONE.stop_asked()) == (0, 1, False)
    assert ALONE.sum([1.5, 2]) == [1.5, 2]
    tensors = [torch.tensor([1.5, -2.0]), torch.tensor(3.0)]
    ALONE.sum_in_place(tensors)
    ALONE.copy_from_first(tensors)
    assert [tensor.tolist() for tensor in tensors] == [[1.5, -2.0], 3.0]
    assert not torch.distributed.is_initialized()
