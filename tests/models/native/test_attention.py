"""Attention by kernels against PyTorch's: each row looks at its own columns, and at nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.attention import attend
from models.cache import CacheShape, KeyValueCache
from models.interface import StateSize
from models.native.attention import Columns, attend_columns, write_columns
from models.native.library import instruction_set
from models.packing import Packed, as_rows

pytestmark = pytest.mark.skipif(
    instruction_set() is None, reason="there are no kernels for this CPU, or none were built"
)


def alone_of(length: torch.Tensor, bias_THC: torch.Tensor | None = None) -> Columns:
    return Columns(length[None], positions=False, places_T=torch.zeros(1, dtype=torch.int64), bias_THC=bias_THC)


@settings(max_examples=60)
@given(
    rows=st.integers(1, 9), groups=st.integers(1, 3), share=st.integers(1, 3), width=st.integers(1, 150),
    columns=st.integers(1, 70), cap=st.sampled_from([None, 2.0]), biased=st.sampled_from([0, 1, 2]),
    seed=st.integers(0, 99),
)  # fmt: skip
@torch.inference_mode()
def test_a_row_attends_to_its_tokens(
    rows: int, groups: int, share: int, width: int, columns: int, cap: float | None, biased: int, seed: int
) -> None:
    torch.manual_seed(seed)
    heads = groups * share
    keys, values = torch.randn(2, rows, groups, columns + 3, width)[:, :, :, :columns]
    lengths = torch.randint(1, columns + 1, (rows,))
    q = torch.randn(rows, heads, width)
    bias = torch.randn(rows, heads if biased == 2 else 1, columns) if biased else None
    mask = torch.zeros(rows, heads, 1, columns) if bias is None else bias.expand(-1, heads, -1)[:, :, None].clone()
    mask.masked_fill_(torch.arange(columns) >= lengths[:, None, None, None], -torch.inf)
    got = attend_columns(
        q,
        keys,
        values,
        Columns(lengths, positions=False, places_T=torch.arange(rows), bias_THC=bias),
        scale=0.3,
        cap=cap,
    )
    expected = attend(q[:, :, None], keys, values, mask=mask, scale=0.3, cap=cap)[:, 0]
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=2e-5)
    for row in range(rows):
        own = alone_of(lengths[row], None if bias is None else bias[row : row + 1])
        alone = attend_columns(q[row : row + 1], keys[row : row + 1], values[row : row + 1], own, scale=0.3, cap=cap)
        assert torch.equal(got[row], alone[0]), "neighbours change nothing"


@torch.inference_mode()
def test_positions_leave_the_scrap_column_out_and_padding_sees_it_alone() -> None:
    keys, values = torch.randn(2, 3, 2, 9, 16)
    q = torch.randn(3, 2, 16)
    got = attend_columns(
        q, keys, values, Columns(torch.tensor([0, 7, -1]), positions=True, places_T=torch.arange(3)), scale=0.25
    )
    torch.testing.assert_close(got[0], values[0, :, 1].flatten())
    torch.testing.assert_close(got[2], values[2, :, 0].flatten())
    expected = attend(q[1:2, :, None], keys[1:2, :, 1:9], values[1:2, :, 1:9], scale=0.25)[0, 0]
    torch.testing.assert_close(got[1], expected, atol=2e-5, rtol=2e-5)


@torch.inference_mode()
def test_rows_that_share_a_memory_read_the_same_one() -> None:
    keys, values = torch.randn(2, 2, 4, 6, 16)
    lengths, q = torch.tensor([6, 3]), torch.randn(5, 4, 16)
    places = torch.tensor([0, 3, 2, 1, 5])  # of two memories with room for three rows
    got = attend_columns(q, keys, values, Columns(lengths, positions=False, places_T=places, width=3), scale=0.25)
    for row, memory in enumerate([0, 1, 0, 0, 1]):
        one = slice(memory, memory + 1)
        alone = attend_columns(q[row : row + 1], keys[one], values[one], alone_of(lengths[memory]), scale=0.25)
        assert torch.equal(got[row], alone[0])


@settings(max_examples=30)
@given(
    positions=st.lists(st.integers(-1, 149), min_size=1, max_size=40), groups=st.integers(1, 3),
    share=st.integers(1, 3), width=st.sampled_from([16, 20, 64, 100]), biased=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
@torch.inference_mode()
def test_the_tokens_of_a_prompt_read_their_row_together_as_each_does_alone(
    positions: list[int], groups: int, share: int, width: int, biased: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    tokens, heads = len(positions), groups * share
    keys, values = torch.randn(2, 3, groups, 151, width)
    q, at = torch.randn(tokens, heads, width), torch.tensor(positions)
    places = torch.randint(0, 3, (tokens,)).sort().values
    bias = torch.randn(tokens, heads, 151) if biased else None
    got = attend_columns(q, keys, values, Columns(at, positions=True, places_T=places, bias_THC=bias), scale=0.25)
    for token in range(tokens):
        one = slice(token, token + 1)
        own = Columns(at[one], positions=True, places_T=places[one], bias_THC=None if bias is None else bias[one])
        assert torch.equal(got[one], attend_columns(q[one], keys, values, own, scale=0.25))


@torch.inference_mode()
def test_what_a_step_writes_lies_at_its_positions() -> None:
    cache = torch.zeros(2, 3, 2, 7, 5)
    kv = torch.randn(3, 4, 5).unflatten(1, (2, 2))
    write_columns(kv, torch.arange(3), torch.tensor([0, 5, -1]), cache[0], cache[1], first=1)
    assert (cache[0].abs().sum((1, 3)) > 0).nonzero().tolist() == [[0, 1], [1, 6], [2, 0]]
    for row, column in ((0, 1), (1, 6), (2, 0)):
        assert torch.equal(cache[:, row, :, column], kv[row])


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 2, *[st.integers(0, 9)] * 2), min_size=1, max_size=12))
@torch.inference_mode()
def test_copies_are_made_one_after_the_other(copies: list[tuple[int, int, int, int]]) -> None:
    own = KeyValueCache.allocate(CacheShape(layers=3, heads=2, head_width=5), StateSize(slots=6, length=9))
    own.slots_kv.copy_(torch.randn(own.slots_kv.shape))
    expected = own.slots_kv.clone()
    copies = [each for each in copies if each[0] != each[1]]
    for source, target, start, stop in copies:
        expected[:, :, target, :, start:stop] = expected[:, :, source, :, start:stop].clone()
    own.copy_all(torch.tensor(copies, dtype=torch.int64).view(-1, 4))
    assert torch.equal(own.slots_kv, expected)


@pytest.mark.parametrize("lengths", [[1], [5], [33], [4, 1, 40, 16], [1, 1]])
@torch.inference_mode()
def test_packed_prompts_attend_to_their_own_tokens(lengths: list[int]) -> None:
    tokens = [torch.randint(0, 9, (length,)).tolist() for length in lengths]
    packed = Packed.of(tokens)
    assert packed.tokens_T.tolist() == [token for row in tokens for token in row]
    qkv = torch.randn(sum(lengths), 3 * 4, 16)
    q, k, v = qkv.split(4, dim=1)
    got = attend_columns(q, as_rows(k), as_rows(v), packed.neighbours, scale=0.25)
    for each in zip(*(part.split(lengths) for part in (q, k, v, got)), strict=True):
        own_q, own_k, own_v = (part.transpose(0, 1)[None] for part in each[:3])
        torch.testing.assert_close(each[3], attend(own_q, own_k, own_v, scale=0.25)[0], atol=2e-5, rtol=2e-5)
    padded = packed.padded(got, max(lengths) + 1)
    assert torch.equal(torch.cat([row[:n] for row, n in zip(padded, lengths, strict=True)]), got)
    assert [row[-1] for row in tokens] == packed.tokens_T[packed.ends_B].tolist()
