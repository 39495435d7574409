from __future__ import annotations

import gc
import itertools

import psutil
import pytest
import torch

from models.native.memory import ALIGNMENT, LARGE, REGION, settled


@pytest.mark.parametrize("size", [LARGE // 4, LARGE + 12, REGION // 2 + 4, REGION + 4])
def test_what_is_settled_stays_as_it_was_and_apart_from_the_others(size: int) -> None:
    several = [torch.randint(-99, 99, (2, size // 4), dtype=torch.int32).T for _ in range(5)]
    found = [settled(each) for each in several]
    for one, other in zip(several, found, strict=True):
        assert torch.equal(one, other)
        assert other.is_contiguous()
        assert other.dtype is torch.int32
    places = sorted((each.data_ptr(), each.data_ptr() + each.nbytes) for each in found)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(places))
    if size * 2 >= LARGE:
        assert all(begin % ALIGNMENT == 0 for begin, _ in places)


def test_memory_goes_back_to_the_system_with_the_last_that_lies_in_it() -> None:
    def resident() -> int:
        gc.collect()
        return psutil.Process().memory_info().rss

    before = resident()
    kept = [settled(torch.ones(1, dtype=torch.uint8).expand(size)) for size in (8 * REGION, *[REGION // 2] * 16)]
    assert resident() - before > 13 * REGION
    kept.clear()
    assert resident() - before < 3 * REGION, "the last region is kept for those to come"
