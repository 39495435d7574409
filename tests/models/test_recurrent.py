"""What a recurrent translator computes, against torch's own cells and the papers' formulas written out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.architectures import config_from_dict
from models.cells import Cell, CellKind
from models.config import ConfigError
from models.interface import Seq2SeqBatch, StateSize
from models.native.linear import NativeInt8Linear
from models.precision import convert
from models.quantization import Int8Linear, int8_supported
from models.recurrent import AttentionKind, Recurrent, RecurrentConfig
from models.training.fast import speed_up_on_cpu
from models.training.optimizer import layer_matrices
from tests.models.tiny import CONFIGS, RECURRENT, built, prompts_of

CPU = torch.device("cpu")
KINDS = list(product(get_args(CellKind), get_args(AttentionKind)))
TINY = [name for name in CONFIGS if name.startswith("recurrent")]
WHOLE: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
STEPS: dict[str, type[nn.RNNCellBase]] = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


def made(config: RecurrentConfig) -> Recurrent:
    model = built(config)
    assert isinstance(model, Recurrent)
    return model


def a_batch() -> Seq2SeqBatch:
    prompts = prompts_of(9, 3, 1, 6)
    target = torch.randint(3, 61, (4, 5), generator=torch.Generator().manual_seed(3))
    return Seq2SeqBatch(source_BS=prompts.tokens_BS, source_lengths_B=prompts.lengths_B, target_BT=target)


def torchs_encoder(model: Recurrent) -> nn.RNNBase:
    """Several layers in one module, on the same weights."""
    config = model.config
    width = config.width // 2 if config.bidirectional else config.width
    whole = WHOLE[config.cell](
        config.width, width, config.encoder_layers, batch_first=True, bidirectional=config.bidirectional
    )
    weights = {}
    for number, layer in enumerate(model.encoder):
        for cell, suffix in ((layer.forwards, ""), (layer.backwards, "_reverse")):
            if cell is not None:
                for ours, theirs in (("input", "ih"), ("hidden", "hh")):
                    weights[f"weight_{theirs}_l{number}{suffix}"] = getattr(cell, ours).weight
                    weights[f"bias_{theirs}_l{number}{suffix}"] = getattr(cell, ours).bias
    whole.load_state_dict(weights)
    return whole


def torchs_step(cell: Cell) -> nn.RNNCellBase:
    """That reads input and context as one vector."""
    parts = [cell.input.weight] if cell.context is None else [cell.input.weight, cell.context.weight]
    weight = torch.cat(parts, dim=1)
    step = STEPS[cell.kind](weight.shape[1], cell.width)
    step.load_state_dict(
        {
            "weight_ih": weight,
            "weight_hh": cell.hidden.weight,
            "bias_ih": cell.input.bias,
            "bias_hh": cell.hidden.bias,
        }
    )
    return step


def reference(model: Recurrent, source: list[int], target: list[int]) -> tuple[Tensor, Tensor]:
    """Logits [T, V] and the attention's weights [T, S] of one pair, token after token."""
    config, attention = model.config, model.attention
    token = model.embedding.token.weight * config.width**0.5
    encoded, last = torchs_encoder(model)(token[source][None])
    encoded, last = encoded[0], (last[0] if config.cell == "lstm" else last)[:, 0]
    whole = torch.cat([last[-2], last[-1]]) if config.bidirectional else last[-1]
    first = (model.bridge.initial.weight @ whole + model.bridge.initial.bias).unflatten(
        0, (config.decoder_layers, -1, config.width)
    )
    hidden = [torch.tanh(each[0]) for each in first]
    cells = [each[-1] for each in first]
    steps = [torchs_step(cell) for cell in model.decoder]

    def attend(state: Tensor) -> Tensor:
        if config.attention == "additive":  # v^T tanh(W s + U h)
            scores = [
                attention.energy
                @ torch.tanh(attention.query.weight @ state + attention.key.weight @ h + attention.key.bias)
                for h in encoded
            ]
        elif config.attention == "general":  # s^T W h
            scores = [state @ (attention.key.weight @ h) for h in encoded]
        else:
            scores = [state @ h for h in encoded]
        return torch.stack(scores).softmax(dim=0)

    logits, weights = [], []
    for word in target:
        x, looked = token[word], torch.ones(1)
        context = whole
        if config.attention == "additive":
            looked = attend(hidden[-1])
            context = looked @ encoded
        for number, step in enumerate(steps):
            if number == 0 and config.attention in ("none", "additive"):
                x = torch.cat([x, context])
            if config.cell == "lstm":
                hidden[number], cells[number] = step(x, (hidden[number], cells[number]))
            else:
                hidden[number] = step(x, hidden[number])
            x = hidden[number]
        if config.attention in ("dot", "general"):
            looked = attend(hidden[-1])
            context = looked @ encoded
        said = torch.tanh(attention.output.weight @ torch.cat([hidden[-1], context]) + attention.output.bias)
        output = model.embedding.token.weight if config.tied_embeddings else model.embedding.output.weight
        logits.append(output @ said)
        weights.append(looked)
    return torch.stack(logits), torch.stack(weights)


@pytest.mark.parametrize(("cell", "attention"), KINDS)
@pytest.mark.parametrize("deep", [False, True])
@torch.inference_mode()
def test_it_computes_what_torchs_cells_and_the_papers_formulas_give(
    cell: CellKind, attention: AttentionKind, deep: bool
) -> None:
    more = {"encoder_layers": 2, "decoder_layers": 3, "bidirectional": False} if deep else {}
    model, batch = made(replace(RECURRENT, cell=cell, attention=attention, **more)), a_batch()
    got = model(batch)
    for row, length in enumerate(batch.source_lengths_B.tolist()):
        logits, weights = reference(model, batch.source_BS[row, :length].tolist(), batch.target_BT[row].tolist())
        torch.testing.assert_close(got[row], logits, atol=1e-4, rtol=1e-4)
        if attention != "none":
            torch.testing.assert_close(model.alignment(batch, 0)[row, :, :length], weights, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_its_encoder_is_torchs_over_packed_sequences(name: str) -> None:
    model, batch = made(CONFIGS[name]), a_batch()
    x = model.embedding.sequence(batch.source_BS)
    packed = pack_padded_sequence(x, batch.source_lengths_B, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(torchs_encoder(model)(packed)[0], batch_first=True)
    for layer in model.encoder:
        x, _ = layer.read(x, batch.source_lengths_B)
    for row, length in enumerate(batch.source_lengths_B):
        torch.testing.assert_close(x[row, :length], expected[row, :length], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in TINY if "fixed" not in name])
@torch.inference_mode()
def test_an_alignment_sums_to_one_over_the_sources_own_tokens(name: str) -> None:
    model, batch = made(CONFIGS[name]), a_batch()
    weights = model.alignment(batch, 0)
    assert weights.shape == (4, 5, 9)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(4, 5))
    for row, length in enumerate(batch.source_lengths_B):
        assert (weights[row, :, :length] > 0).all()
        assert (weights[row, :, length:] == 0).all()
    with pytest.raises(IndexError, match="layer is 1, there are 1 with attention"):
        model.alignment(batch, 1)


def test_a_fixed_context_aligns_nothing_and_takes_the_same_memory_whatever_the_source() -> None:
    fixed = made(replace(RECURRENT, attention="none"))
    assert fixed.config.capabilities.alignment_layers == 0
    with pytest.raises(IndexError, match="layer is 0, there are 0 with attention"):
        fixed.alignment(a_batch(), 0)
    sizes = {length: StateSize(slots=4, length=9, source_length=length) for length in (5, 50)}
    assert fixed.new_state(sizes[5]).nbytes == fixed.new_state(sizes[50]).nbytes
    additive = made(RECURRENT)
    assert additive.new_state(sizes[50]).vectors_NMSC.nbytes == 10 * (additive.new_state(sizes[5]).vectors_NMSC.nbytes)


def test_a_state_tells_its_size_where_nothing_is_allocated() -> None:
    for name in TINY:
        model, size = made(CONFIGS[name]), StateSize(slots=3, length=9, source_length=7)
        assert model.new_state(replace(size, device="meta")).nbytes == model.new_state(size).nbytes > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "qrnn"}, "cell is 'qrnn', expected one of rnn, lstm, gru"),
        ({"attention": "local"}, "attention is 'local', expected one of none, additive, dot, general"),
        ({"width": 33}, "width is 33, expected an even one"),
        ({"decoder_layers": 0}, "decoder_layers is 0, expected at least 1"),
        ({"heads": 4}, "recurrent has no field 'heads'"),
    ],
)
def test_a_config_that_no_model_can_be_built_from_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from_dict({**RECURRENT.to_dict(), **change})


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", TINY)
@torch.inference_mode()
def test_every_linear_layer_of_it_is_converted(name: str, precision: str) -> None:
    if precision == "int8" and not int8_supported(CPU):
        pytest.skip("this CPU has no VNNI instructions")
    linears = sum(isinstance(module, nn.Linear) for module in made(CONFIGS[name]).modules())
    model, dtype = convert(made(CONFIGS[name]), precision, CPU)
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    state = model.new_state(StateSize(slots=2, length=24, source_length=24, dtype=dtype))
    model.prefill(prompts_of(5, 9), torch.tensor([0, 1]), state)
    before = state.states_LPBC.clone()
    decoded = model.decode(torch.tensor([3, 4]), torch.tensor([1, 1]), state.window(2, 4, 16))
    assert decoded.isfinite().all()
    if precision == "int8":
        tied = model.config.tied_embeddings
        assert sum(isinstance(module, Int8Linear | NativeInt8Linear) for module in model.modules()) == linears + tied
        state.states_LPBC.copy_(before)
        alone = model.decode(torch.tensor([3]), torch.tensor([1]), state.window(1, 4, 16))
        torch.testing.assert_close(alone[0], decoded[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_quick_training_gives_its_gradients_and_reaches_every_weight(name: str) -> None:
    gradients = []
    for quick in (False, True):
        model = made(replace(CONFIGS[name], dropout=0.0)).train()
        if quick:
            speed_up_on_cpu(model)
        model(a_batch()).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for mine, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-4)
        assert mine.abs().sum() > 0
    with torch.autocast("cpu", torch.bfloat16):
        narrow = model.train(False)(a_batch())
    assert (narrow - model(a_batch())).norm() < 0.1 * narrow.norm()


def test_dropout_is_of_training_alone() -> None:
    model = made(replace(CONFIGS["recurrent-lstm-additive-deep"], dropout=0.5))
    assert torch.equal(model(a_batch()), model(a_batch()))
    model.train()
    assert not torch.allclose(model(a_batch()), model(a_batch()))


def test_its_gates_are_matrices_of_their_own_to_muon() -> None:
    model = made(RECURRENT)
    names = {parameter: name for name, parameter in model.named_parameters()}
    rows = {names[parameter]: rows for parameter, rows in layer_matrices(model).items()}
    assert rows["encoder.0.backwards.hidden.weight"] == (16, 16, 16)
    assert rows["decoder.0.context.weight"] == (32, 32, 32)
    assert len(rows) == 7
