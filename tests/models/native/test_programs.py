"""Programs: recorded once, they do again what the function did, for any number of rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import softcapped
from models.native.library import instruction_set
from models.native.programs import EXTENTS, NotRecordable, Recorder
from models.rotary import Rotary, Rotation

pytestmark = pytest.mark.skipif(
    instruction_set() is None, reason="there are no kernels for this CPU, or none were built"
)

ROOM = 300
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x + x,
    "sum with a column": lambda x: torch.add(x, x[:, :1], alpha=-0.5),
    "sum with a number": lambda x: x + 2,
    "product with a column": lambda x: x * x[:, :1],
    "product with a number": lambda x: x * 0.3,
    "rectified": F.relu,
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "norm": lambda x: F.layer_norm(x, x.shape[1:], WEIGHT[: x.shape[1]], WEIGHT[-x.shape[1] :], 1e-5),
    "norm without a bias": lambda x: F.layer_norm(x, x.shape[1:], WEIGHT[: x.shape[1]], None, 1e-5),
    "norm of the root mean square": lambda x: F.rms_norm(x, x.shape[1:], WEIGHT[: x.shape[1]], 1e-6),
    "norms of parts": lambda x: F.rms_norm(
        x.expand(3, *x.shape).transpose(0, 1)[:, :2], x.shape[1:], WEIGHT[: x.shape[1]]
    ),
    "side by side": lambda x: torch.cat([x, x[:, :1] * 2, F.relu(x)], dim=1),
    "capped": lambda x: softcapped(x, 3.0),
    "linear": lambda x: F.linear(x, MATRIX[:, : x.shape[1]], WEIGHT[:9]),
    "linear without a bias": lambda x: F.linear(x, MATRIX[:, : x.shape[1]]),
    "views": lambda x: (x.view(x.shape[0], -1, 1)[:, ::1] + x[:, :, None]).squeeze(2),
}
torch.manual_seed(0)


def thrice(x: Tensor) -> Tensor:
    return x.expand(3, *x.shape).transpose(0, 1)


WEIGHT, MATRIX = torch.randn(100), torch.randn(9, 100)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("width", [1, 5, 16, 64, 100])
@torch.inference_mode()
def test_an_operator_is_done_again_on_what_the_buffer_holds_then(name: str, width: int) -> None:
    x = torch.zeros(ROOM, width)
    program = Recorder()(lambda: [FUNCTIONS[name](x[: EXTENTS[0]])], [ROOM])
    for rows, size in ((1, 1.0), (7, 10.0), (ROOM, 1e-3)):
        x.copy_(torch.randn(ROOM, width) * size)
        program.run(rows)
        torch.testing.assert_close(
            program.results[0][:rows], FUNCTIONS[name](x[:rows]), atol=1e-5 * max(size, 0.1), rtol=2e-5
        )


@pytest.mark.parametrize("name", ["rectified", "sigmoid", "tanh"])
@torch.inference_mode()
def test_numbers_that_are_none_and_endless_ones_stay_what_they_are(name: str) -> None:
    x = torch.zeros(ROOM, 6)
    program = Recorder()(lambda: [FUNCTIONS[name](x[: EXTENTS[0]])], [ROOM])
    x[0] = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 0])
    program.run(1)
    torch.testing.assert_close(program.results[0][:1], FUNCTIONS[name](x[:1]), equal_nan=True)


@torch.inference_mode()
def test_programs_share_an_arena_and_their_inputs_stay_apart() -> None:
    recorder = Recorder()
    small, large = torch.randn(ROOM, 32), torch.randn(ROOM, 64)

    def deep(x: Tensor) -> Tensor:
        for _ in range(5):
            x = F.relu(x + F.layer_norm(x, x.shape[1:], WEIGHT[: x.shape[1]])) * 0.5
        return x

    of_large = recorder(lambda: [deep(large[: EXTENTS[1]])], [1, ROOM])
    of_small = recorder(lambda: [deep(small[: EXTENTS[0]])], [ROOM])
    arena = of_large.results[0].untyped_storage()
    assert of_small.results[0].untyped_storage().data_ptr() == arena.data_ptr()
    assert arena.nbytes() < 5 * large.nbytes, "not one place for each of fifteen results"
    before = small.clone(), large.clone()
    for _ in range(2):
        of_small.run(20)
        torch.testing.assert_close(of_small.results[0][:20], deep(before[0][:20]), atol=1e-5, rtol=1e-5)
        of_large.run(0, ROOM)
        torch.testing.assert_close(of_large.results[0], deep(before[1]), atol=1e-5, rtol=1e-5)
    assert torch.equal(small, before[0])
    assert torch.equal(large, before[1])


@torch.inference_mode()
def test_several_extents_are_told_apart() -> None:
    x, chosen = torch.randn(ROOM, 8), torch.zeros(ROOM, dtype=torch.int64)
    program = Recorder()(lambda: [F.relu(x[: EXTENTS[0]] * 2).index_select(0, chosen[: EXTENTS[2]])], [ROOM, 0, ROOM])
    chosen[:3] = torch.tensor([4, 0, 9])
    program.run(10, 0, 3)
    assert torch.equal(program.results[0][:3], F.relu(x * 2)[[4, 0, 9]])


@pytest.mark.parametrize("share", [1.0, 0.5])
@torch.inference_mode()
def test_heads_are_turned_by_their_positions(share: float) -> None:
    rotary = Rotary(Rotation(share=share), positions=40, width=24)
    x, positions = torch.randn(ROOM, 5, 24), torch.zeros(ROOM, dtype=torch.int64)
    program = Recorder()(lambda: [rotary(x[: EXTENTS[0], 1:4], positions[: EXTENTS[0]])], [ROOM])
    positions[:3] = torch.tensor([39, 0, 7])
    program.run(3)
    with torch.no_grad():
        expected = rotary(x[None, :3, 1:4], positions[None, :3])[0]
    torch.testing.assert_close(program.results[0][:3], expected, atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_what_is_copied_into_a_part_is_there() -> None:
    x, target = torch.randn(ROOM, 6), torch.zeros(ROOM, 10)

    def copied() -> list[Tensor]:
        doubled = x[: EXTENTS[0]] * 2
        target[: EXTENTS[0], 2:8].copy_(doubled)
        return [doubled]

    program = Recorder()(copied, [ROOM])
    target.zero_()
    program.run(4)
    assert torch.equal(target[:4, 2:8], 2 * x[:4])
    assert not target[4:].any()


@torch.inference_mode()
def test_embeddings_are_looked_up_anew() -> None:
    table, ids = nn.Embedding(10, 7), torch.zeros(ROOM, dtype=torch.int64)
    program = Recorder()(lambda: [table(ids[: EXTENTS[0]].clamp(min=0))], [ROOM])
    ids[:4] = torch.tensor([9, -1, 4, 10])
    program.run(4)
    assert program.results[0][3].isnan().all(), "the table ends before it"
    assert torch.equal(program.results[0][:3], table.weight[[9, 0, 4]])


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: x.cumsum(1), "cumsum"),
        (lambda x: x * x.sum().item(), "sum"),
        (lambda x: x.double() + 1, r"aten\.to"),
        (lambda x: x.t() + 1, "rows of no extent"),
        (lambda x: x.add_(1), "add_"),
        (lambda x: x + torch.ones(4), "ones"),
    ],
)
@torch.inference_mode()
def test_what_no_kernel_does_is_named(function: Callable[[Tensor], Tensor], named: str) -> None:
    x = torch.randn(EXTENTS[0], 4)
    with pytest.raises(NotRecordable, match=named):
        Recorder()(lambda: [function(x)], [ROOM])
