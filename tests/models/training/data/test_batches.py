import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.data.batches import Order, Place, padded, plan_batches

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


def test_batches_come_in_one_row_across_epochs_however_many_are_taken_at_once():
    rows = []
    for count in (1, 3):
        order, place, taken = Order(lambda epoch: SIZES, 10, 1), Place(0, 0), []
        while len(taken) < 30:
            some, place = order.take(place, count)
            taken += some
        rows.append([(epoch, batch.tolist()) for epoch, batch in taken[:30]])
    assert rows[0] == rows[1]


def test_every_epoch_has_every_example_once_in_an_order_of_its_own():
    order = Order(lambda epoch: SIZES, 10, 1)
    epochs = []
    for epoch in (0, 1):
        batches, place = order.take(Place(epoch, 0), len(order._plan_of(epoch)))
        assert place == Place(epoch, len(batches))
        assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(SIZES)))
        epochs.append([batch.rows.tolist() for batch in batches])
    assert epochs[0] != epochs[1]


def test_a_run_goes_on_at_any_place():
    order = Order(lambda epoch: SIZES, 10, 1)
    all_at_once, _ = order.take(Place(0, 0), 12)
    _, place = order.take(Place(0, 0), 7)
    rest, _ = Order(lambda epoch: SIZES, 10, 1).take(place, 5)
    assert [batch.rows.tolist() for batch in rest] == [batch.rows.tolist() for batch in all_at_once[7:]]


def test_no_examples_are_no_endless_search():
    with pytest.raises(ValueError, match="no examples"):
        Order(lambda epoch: np.empty(0), 10, 1).take(Place(0, 0), 1)
