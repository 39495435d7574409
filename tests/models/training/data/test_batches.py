import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.data.batches import Chosen, endless_batches, padded, plan_batches

SIZES = np.array([3.0, 5, 4, 7, 2, 6, 3, 5])


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


def batches_after(epoch: int, position: int, number: int) -> list[Chosen]:
    return list(itertools.islice(endless_batches(lambda epoch: SIZES, 10, 1, epoch, position), number))


def test_every_epoch_has_every_example_once_in_an_order_of_its_own():
    epochs = []
    for epoch in (0, 1):
        batches = [batch for batch in batches_after(epoch, 0, 20) if batch.epoch == epoch]
        assert [batch.position for batch in batches] == list(range(1, len(batches) + 1))
        assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(SIZES)))
        epochs.append([batch.rows.tolist() for batch in batches])
    assert epochs[0] != epochs[1]


def test_batches_come_in_one_row_across_epochs_and_a_run_goes_on_at_any_place():
    def as_lists(batches: list[Chosen]) -> list[tuple[int, int, list[int]]]:
        return [(batch.epoch, batch.position, batch.rows.tolist()) for batch in batches]

    all_at_once = batches_after(0, 0, 30)
    assert {batch.epoch for batch in all_at_once} > {0, 1}
    for taken, (epoch, position, _) in enumerate(all_at_once, start=1):
        assert as_lists(batches_after(epoch, position, 30 - taken)) == as_lists(all_at_once[taken:])


def test_no_examples_are_no_endless_search():
    with pytest.raises(ValueError, match="no examples"):
        next(endless_batches(lambda epoch: np.empty(0), 10, 1, 0, 0))
