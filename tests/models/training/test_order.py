import numpy as np
import pytest

from models.training.order import Order, Place

SIZES = np.array([3.0, 5, 4, 7, 2, 6, 3, 5])


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
