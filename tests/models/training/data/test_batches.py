import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.training.data.batches import padded, plan_batches


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 120), st.integers(0, 5))
def test_batches_hold_every_example_once_within_the_budget(widths: list[int], budget: int, epoch: int):
    sizes = np.array(widths, float)
    plan = plan_batches(sizes, budget, seed=1, epoch=epoch)
    assert sorted(index for batch in plan for index in batch) == list(range(len(widths)))
    assert all(len(batch) == 1 or len(batch) * sizes[batch].max() <= budget for batch in plan)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 120))
def test_batches_are_as_large_as_the_budget_allows(widths: list[int], budget: int):
    sizes = np.array(widths, float)
    plan = sorted(plan_batches(sizes, budget, seed=1, epoch=0), key=lambda batch: (sizes[batch].max(), -len(batch)))
    narrow_first = sorted(plan, key=lambda batch: (sizes[batch].min(), sizes[batch].max()))
    for batch, following in itertools.pairwise(narrow_first):
        assert (len(batch) + 1) * sizes[following].min() > budget


def test_batches_depend_on_seed_and_epoch_alone():
    sizes = np.arange(1, 200) % 17 + 1.0

    def order(seed: int, epoch: int) -> list[int]:
        return [int(index) for batch in plan_batches(sizes, 60, seed, epoch) for index in batch]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_little_of_a_batch_is_padding():
    sizes = np.random.default_rng(0).integers(1, 60, 5000).astype(float)
    plan = plan_batches(sizes, 2000, seed=1, epoch=0)
    assert sum(len(batch) * sizes[batch].max() for batch in plan) < 1.03 * sizes.sum()


def test_rows_are_padded_on_the_right():
    assert padded([np.array([5]), np.array([6, 7])], 0).tolist() == [[5, 0], [6, 7]]
