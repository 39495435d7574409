from __future__ import annotations

from dataclasses import replace

import torch

from models.cache import CacheShape, Extension, KeyValueCache
from models.interface import Sharing, StateSize

SHAPE = CacheShape(layers=2, heads=3, head_width=4, cross=True)
SIZE = StateSize(slots=4, length=8, source_length=5)


def make(dtype: torch.dtype = torch.float32) -> KeyValueCache:
    return KeyValueCache.allocate(SHAPE, replace(SIZE, dtype=dtype))


def masked() -> KeyValueCache:
    """One in a format that no kernel reads: PyTorch needs masks for it."""
    return make(torch.bfloat16)


def test_the_size_is_known_without_allocating() -> None:
    assert make().nbytes == 2 * 2 * 4 * 3 * (8 + 1 + 5) * 4 * 4, "keys and values, scrap column and memory, float32"
    assert KeyValueCache.allocate(SHAPE, replace(SIZE, device="meta")).nbytes == make().nbytes
    assert KeyValueCache.allocate(SHAPE, replace(SIZE, dtype=torch.bfloat16)).nbytes * 2 == make().nbytes


def test_without_cross_attention_there_is_no_room_for_a_source() -> None:
    cache = KeyValueCache.allocate(replace(SHAPE, cross=False), SIZE)
    assert (cache.source_length, cache.memory_kv.nbytes) == (0, 0)


def test_a_classifiers_cache_takes_no_memory() -> None:
    shape = CacheShape(layers=0, heads=3, head_width=4)
    assert KeyValueCache.allocate(shape, StateSize(slots=1000, length=1000)).nbytes == 0


def test_a_window_is_a_view_of_the_same_memory() -> None:
    cache = make()
    window = cache.window(2, 4, 3)
    assert window.keys[0].shape == (2, 3, 5, 4)
    assert window.memory_keys[0].shape == (2, 3, 3, 4)
    assert (window.slots, window.length, window.source_length) == (2, 4, 3)
    window.write_step(1, torch.tensor([0, 3]), torch.ones(2, 2, 3, 4))
    window.write_memory(0, torch.tensor([1]), torch.ones(1, 3, 3, 4), torch.ones(1, 3, 3, 4))
    window.write_memory_lengths(torch.tensor([1]), torch.tensor([3]))
    for layers in (cache.keys, cache.values):
        assert [layer.sum(dim=(1, 3)).nonzero().tolist() for layer in layers] == [[], [[0, 1], [1, 4]]]
    for layers in (cache.memory_keys, cache.memory_values):
        assert [layer.sum(dim=(1, 3)).nonzero().tolist() for layer in layers] == [[[1, 0], [1, 1], [1, 2]], []]
    assert cache.memory_lengths.tolist() == [1, 3, 1, 1]


def test_the_step_mask_shows_a_row_its_past_and_a_padding_row_the_scrap_column() -> None:
    mask = masked().window(3, 4).step_mask(torch.tensor([0, 2, -1]))
    assert mask.shape == (3, 3, 1, 5)
    assert (mask[:, 2, 0] == 0).int().tolist() == [[0, 1, 0, 0, 0], [0, 1, 1, 1, 0], [1, 0, 0, 0, 0]]


def test_a_padding_row_writes_to_the_scrap_column_only() -> None:
    cache = make()
    kv = torch.ones(4, 2, 3, 4)
    kv[:, 1] = 2
    cache.write_step(0, torch.tensor([-1, 2, -1, -1]), kv)
    written = cache.keys[0].sum(dim=(1, 3)).nonzero().tolist()
    assert written == [[0, 0], [1, 3], [2, 0], [3, 0]]
    assert torch.equal(cache.values[0], 2 * cache.keys[0])


def test_a_copy_carries_the_positions_it_names_and_no_others() -> None:
    cache = make()
    cache.slots_kv[:, :, 3] = 7
    cache.copy(3, 1, 2, 5)
    copied = cache.slots_kv[:, :, 1] == 7
    assert copied.all(dim=4).all(dim=2).all(dim=(0, 1)).tolist() == [c in (3, 4, 5) for c in range(9)]


def test_a_moved_memory_row_has_its_length_and_its_tokens() -> None:
    cache = make()
    cache.memory_kv[:, :, 3] = 7
    cache.memory_lengths[3] = 4
    cache.move_memory(3, 1)
    assert (cache.memory_kv[:, :, 1, :, :4] == 7).all()
    assert cache.memory_lengths.tolist() == [1, 4, 1, 4]


def test_rows_that_share_a_memory_row_are_gathered_there_and_find_their_own_again() -> None:
    sharing = Sharing(rows_MK=torch.tensor([[2, 0], [1, 1]]), places_B=torch.tensor([1, 2, 0]))
    x = torch.arange(6.0).view(3, 2)
    assert sharing.gather(x).tolist() == [[[4, 5], [0, 1]], [[2, 3], [2, 3]]]
    assert torch.equal(sharing.scatter(sharing.gather(x)), x)


def test_tokens_that_go_on_attend_to_what_their_slot_holds_and_to_themselves() -> None:
    extension = Extension.of(torch.tensor([1, 3]), torch.tensor([2, 0]), torch.tensor([2, 1]), tokens=2)
    assert extension.length == 4
    assert extension.positions_BT.tolist() == [[2, 3], [0, 1]]
    assert extension.columns_BT.tolist() == [[3, 4], [1, 0]], "padding goes to the scrap column"
    assert extension.mask[:, 0].int().tolist() == [
        [[0, 1, 1, 1, 0], [0, 1, 1, 1, 1]],
        [[0, 1, 0, 0, 0], [0, 1, 1, 0, 0]],
    ]


def test_the_memory_mask_shows_a_rows_own_tokens_and_never_hides_everything() -> None:
    cache = masked()
    assert (cache.memory_mask()[:, 0, 0] == 0).int().tolist() == [[1, 0, 0, 0, 0]] * 4, "nothing is written yet"
    cache.write_memory_lengths(torch.tensor([2, 0]), torch.tensor([5, 3]))
    mask = cache.memory_mask()
    assert mask.shape == (4, 3, 1, 5)
    shown = [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]
    assert (mask[:, 2, 0] == 0).int().tolist() == shown
