"""What ties the verbs together: prefill and decode give the outputs of forward, batched or alone, in any slot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.interface import Prompts, Sharing, State
from tests.models.tiny import prompts_of, row_of, state_for, teacher_forced

OUTPUTS = [[7, 8, 9, 10, 11], [20, 21, 22, 23, 24], [31, 32, 33, 34, 35]]


def cached(
    model: nn.Module, prompts: Prompts, slots: list[int], outputs: list[list[int]], state: State, rows: int
) -> Tensor:
    """Logits [B, T + 1, V] by prefill and decode, in a window of `rows` rows whose other rows are padding."""
    prefilled = model.config.capabilities.prefilled
    collected = [model.prefill(prompts, torch.tensor(slots), state)]
    for step in range(len(outputs[0])):
        tokens = torch.zeros(rows, dtype=torch.int64)
        positions = torch.full((rows,), -1)
        for slot, output, length in zip(slots, outputs, prompts.lengths_B.tolist(), strict=True):
            tokens[slot] = output[step]
            positions[slot] = prefilled(length) + step
        window = state.window(rows, int(positions.max()) + 1, int(prompts.lengths_B.max()))
        collected.append(model.decode(tokens, positions, window)[slots])
    return torch.stack(collected, dim=1)


@torch.inference_mode()
def test_cached_decoding_equals_recomputing_the_prefix(decoder: nn.Module) -> None:
    prompts = prompts_of(5)
    got = cached(decoder, prompts, [0], OUTPUTS[:1], state_for(decoder), rows=1)
    torch.testing.assert_close(got[0], teacher_forced(decoder, prompts, OUTPUTS[0]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("slots", [[0, 1, 2], [2, 0, 1], [4, 1, 3]], ids=str)
@torch.inference_mode()
def test_a_batch_of_different_lengths_in_any_slots_equals_each_alone(decoder: nn.Module, slots: list[int]) -> None:
    prompts = prompts_of(3, 9, 1)
    got = cached(decoder, prompts, slots, OUTPUTS, state_for(decoder), rows=6)
    for row, output in enumerate(OUTPUTS):
        alone = teacher_forced(decoder, row_of(prompts, row), output)
        torch.testing.assert_close(got[row], alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_slot_used_again_leaks_nothing_of_its_last_sequence(decoder: nn.Module) -> None:
    state = state_for(decoder)
    cached(decoder, prompts_of(12, seed=5), [1], [[50] * 8], state, rows=2)
    prompts = prompts_of(4)
    reused = cached(decoder, prompts, [1], OUTPUTS[:1], state, rows=2)
    fresh = cached(decoder, prompts, [1], OUTPUTS[:1], state_for(decoder), rows=2)
    torch.testing.assert_close(reused, fresh, atol=0, rtol=0)


@torch.inference_mode()
def test_a_moved_slot_goes_on_where_it_was(decoder: nn.Module) -> None:
    state, prompts = state_for(decoder), prompts_of(4)
    prefilled = decoder.config.capabilities.prefilled
    decoder.prefill(prompts, torch.tensor([3]), state)
    state.copy(3, 0, 0, prefilled(4))
    state.move_memory(3, 0)
    position = torch.tensor([prefilled(4)])
    got = decoder.decode(torch.tensor([7]), position, state.window(1, 24, 24))
    torch.testing.assert_close(got[0], teacher_forced(decoder, prompts, [7])[1], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_rows_that_share_a_memory_row_get_what_rows_of_their_own_would(translator: nn.Module) -> None:
    state, prompts = state_for(translator), prompts_of(4, 7)
    translator.prefill(prompts, torch.tensor([4, 1]), state, torch.tensor([0, 1]))
    for target in (0, 3):
        state.copy(4, target, 0, 1)  # three rows of the first source, one of the second, and a padding row
    sharing = Sharing(rows_MK=torch.tensor([[3, 4, 0], [1, 0, 0]]), places_B=torch.tensor([2, 3, 0, 0, 1]))
    tokens, positions = torch.tensor([7, 8, 9, 0, 10]), torch.tensor([1, 1, -1, 1, 1])
    tokens[3], tokens[2] = 11, 0
    got = translator.decode(tokens, positions, state.window(5, 4, 8, sharing=sharing))
    for row, prompt, token in ((0, 0, 7), (3, 0, 11), (4, 0, 10), (1, 1, 8)):
        expected = teacher_forced(translator, row_of(prompts, prompt), [token])[1]
        torch.testing.assert_close(got[row], expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_target_prefix_is_read_as_if_it_had_been_chosen(translator: nn.Module) -> None:
    state, prompts = state_for(translator), prompts_of(5, 3, 4)
    given = [[7, 8, 9], [], [10]]
    prefixed = Prompts(
        tokens_BS=prompts.tokens_BS,
        lengths_B=prompts.lengths_B,
        prefix_BT=torch.tensor([row + [0] * (3 - len(row)) for row in given]),
        prefix_lengths_B=torch.tensor([3, 0, 1]),
    )
    logits = [translator.prefill(prefixed, torch.tensor([0, 1, 2]), state)]
    logits.append(translator.decode(torch.tensor([20, 21, 22]), torch.tensor([4, 1, 2]), state.window(3, 8, 8)))
    for row, (prefix, token) in enumerate(zip(given, (20, 21, 22), strict=True)):
        expected = teacher_forced(translator, row_of(prompts, row), [*prefix, token])[-2:]
        torch.testing.assert_close(torch.stack([each[row] for each in logits]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cuts", [[4], [1, 2], [5, 9], [3, 6, 9, 11]], ids=str)
@torch.inference_mode()
def test_a_prompt_read_in_chunks_equals_one_read_at_once(generator: nn.Module, cuts: list[int]) -> None:
    state, prompt, other = state_for(generator), prompts_of(12), prompts_of(3, seed=9)
    generator.prefill(prompts_of(20, seed=8), torch.tensor([2]), state)  # what the slot held before does not matter
    start = 0
    for stop in [*cuts, 12]:  # beside it another one is read from its start, padded
        tokens = torch.zeros(2, max(stop - start, 3), dtype=torch.int64)
        tokens[0, : stop - start], tokens[1, :3] = prompt.tokens_BS[0, start:stop], other.tokens_BS[0]
        lengths = torch.tensor([stop - start, 3])
        chunk = Prompts(tokens_BS=tokens, lengths_B=lengths, starts_B=torch.tensor([start, 0]))
        logits = generator.prefill(chunk, torch.tensor([2, 4]), state)
        start = stop
    expected = teacher_forced(generator, prompt, [7])
    torch.testing.assert_close(logits[0], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[1], teacher_forced(generator, other, [])[0], atol=1e-5, rtol=1e-5)
    tokens, positions = torch.tensor([0, 0, 7]), torch.tensor([-1, -1, 12])
    decoded = generator.decode(tokens, positions, state.window(3, 16))
    torch.testing.assert_close(decoded[2], expected[1], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_padding_rows_are_finite_and_change_nobody(decoder: nn.Module) -> None:
    state, prompts = state_for(decoder), prompts_of(4, 6, 3)
    prefilled = decoder.config.capabilities.prefilled
    decoder.prefill(prompts, torch.tensor([0, 1, 2]), state)
    tokens, positions = torch.tensor([7, 0, 0]), torch.tensor([prefilled(4), -1, -1])
    assert decoder.decode(tokens, positions, state.window(3, 8, 8)).isfinite().all()
    tokens, positions = torch.tensor([0, 8, 9]), torch.tensor([-1, prefilled(6), prefilled(3)])
    logits = decoder.decode(tokens, positions, state.window(3, 8, 8))
    for row, token in ((1, 8), (2, 9)):
        expected = teacher_forced(decoder, row_of(prompts, row), [token])[1]
        torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_the_attended_length_does_not_change_the_result(decoder: nn.Module) -> None:
    position, results = decoder.config.capabilities.prefilled(4), []
    for length in (max(position + 1, 4), 16, 24):
        state = state_for(decoder)
        decoder.prefill(prompts_of(4), torch.tensor([0]), state)
        results.append(decoder.decode(torch.tensor([7]), torch.tensor([position]), state.window(1, length, length)))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_classifier_answers_alike_batched_alone_and_by_prefill(classifier: nn.Module) -> None:
    prompts = prompts_of(3, 9, 1)
    batched = classifier(prompts)
    prefilled = classifier.prefill(prompts, torch.tensor([4, 0, 2]), state_for(classifier))
    torch.testing.assert_close(prefilled, batched, atol=0, rtol=0)
    for row in range(3):
        torch.testing.assert_close(classifier(row_of(prompts, row))[0], batched[row], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_more_padding_changes_no_answer_and_makes_no_nan(decoder: nn.Module) -> None:
    narrow = prompts_of(3, 5)
    wide = Prompts(tokens_BS=nn.functional.pad(narrow.tokens_BS, (0, 9)), lengths_B=narrow.lengths_B)
    slots = torch.tensor([0, 1])
    got = decoder.prefill(wide, slots, state_for(decoder))
    assert torch.isfinite(got).all()
    expected = decoder.prefill(narrow, slots, state_for(decoder))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
