"""Programs: recorded once, they do again what the function did."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.native.library import instruction_set
from models.native.programs import NotRecordable, Recorder

pytestmark = pytest.mark.skipif(
    instruction_set() is None, reason="there are no kernels for this CPU, or none were built"
)

FUNCTIONS = {
    "sum": lambda x: x + x[:1],
    "sum with a factor": lambda x: torch.add(x, x[:, :1], alpha=-0.5),
    "sum with a number": lambda x: x + 2,
    "product": lambda x: x * x[:, :1],
    "product with a number": lambda x: x * 0.3,
    "rectified": F.relu,
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "norm": lambda x: F.layer_norm(x, x.shape[1:], torch.ones(x.shape[1]), None, 1e-5),
    "views": lambda x: (x.view(2, -1, x.shape[1])[1] + x[2:]).unsqueeze(1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("width", [1, 5, 16, 64, 100])
@torch.inference_mode()
def test_an_operator_is_done_again_on_what_the_buffer_holds_then(name: str, width: int) -> None:
    constant = torch.randn(width)
    function = (lambda x: F.layer_norm(x, (width,), constant, constant, 1e-5)) if name == "norm" else FUNCTIONS[name]
    x = torch.zeros(4, width)
    run, result = Recorder()(lambda: function(x))
    for size in (1.0, 10.0, 1e-3):
        x.copy_(torch.randn(4, width) * size)
        run()
        torch.testing.assert_close(result, function(x), atol=2e-6, rtol=2e-5)


@torch.inference_mode()
def test_numbers_that_are_none_and_endless_ones_stay_what_they_are() -> None:
    x = torch.zeros(6)
    for name in ("rectified", "sigmoid", "tanh"):
        run, result = Recorder()(lambda name=name: FUNCTIONS[name](x))
        x.copy_(torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 0]))
        run()
        torch.testing.assert_close(result, FUNCTIONS[name](x), equal_nan=True)


@torch.inference_mode()
def test_programs_share_an_arena_and_their_inputs_stay_apart() -> None:
    recorder = Recorder()
    small, large = torch.randn(2, 32), torch.randn(50, 32)
    weight, bias = torch.randn(32), torch.randn(32)

    def deep(x: Tensor) -> Tensor:
        for _ in range(5):
            x = F.relu(x + F.layer_norm(x, (32,), weight, bias)) * 0.5
        return x

    run_large, of_large = recorder(lambda: deep(large))
    run_small, of_small = recorder(lambda: deep(small))
    assert of_large.untyped_storage().data_ptr() == of_small.untyped_storage().data_ptr()
    assert of_large.untyped_storage().nbytes() < 5 * large.nbytes, "not one place for each of fifteen results"
    before = small.clone(), large.clone()
    for _ in range(2):
        run_small()
        torch.testing.assert_close(of_small, deep(before[0]), atol=1e-5, rtol=1e-5)
        run_large()
        torch.testing.assert_close(of_large, deep(before[1]), atol=1e-5, rtol=1e-5)
    assert torch.equal(small, before[0]) and torch.equal(large, before[1])  # noqa: PT018


@torch.inference_mode()
def test_embeddings_are_looked_up_anew() -> None:
    table, ids = nn.Embedding(10, 7), torch.zeros(3, dtype=torch.int64)
    run, result = Recorder()(lambda: table(ids.clamp(min=0)))
    ids.copy_(torch.tensor([9, -1, 4]))
    run()
    assert torch.equal(result, table.weight[[9, 0, 4]])


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: x.cumsum(0), "cumsum"),
        (lambda x: x * x.sum().item(), "sum"),
        (lambda x: x.double() + 1, r"aten\.to"),
        (lambda x: x.t() + 1, "add"),
        (lambda x: x.add_(1), "add_"),
    ],
)
@torch.inference_mode()
def test_what_no_kernel_does_is_named(function: object, named: str) -> None:
    x = torch.randn(4, 4)
    with pytest.raises(NotRecordable, match=named):
        Recorder()(lambda: function(x))  # type: ignore[operator]
