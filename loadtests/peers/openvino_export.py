"""Our weights as OpenVINO models, so that both compute the same function.

Our parts are called in the order that OpenVINO's CPU plugin knows best: keys and values of a decoder are states of the
model (`make_stateful`), each gathered by `rows` and joined with the new ones right before attention, which the plugin
then does in place; cross-attention's keys and values are the encoder's outputs, and the beams of a source are queries
of one memory. A model is written in float32: which format it computes in is chosen when it is opened.

Shapes: B rows, M sources, T new tokens, S source tokens, L tokens so far, C width, H heads, D head width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino as ov
import torch
import torch.nn.functional as F
from openvino import opset13 as ops
from openvino._offline_transformations import apply_make_stateful_transformation
from torch import Tensor, nn

from loadtests.peers.openvino_peer import DECODER, ENCODER
from models.bert import Bert
from models.gpt import GPT
from models.layers import Layer, gelu_tanh
from models.seq2seq import Seq2Seq

DYNAMIC = -1
TYPES = {torch.int64: ov.Type.i64, torch.int32: ov.Type.i32, torch.float32: ov.Type.f32}


def seq2seq(model: Seq2Seq, directory: Path) -> None:
    """An encoder of (tokens [M, S], mask [M, 1, 1, S]), and a decoder of (tokens [B, T], positions [B, T], rows [B],
    memory_mask [M, 1, 1, S], memory.0, ...), where B is a multiple of M."""
    config = model.config
    sizes = (config.heads, config.width // config.heads)
    encoder = _converted(_Encoder(model), {"tokens": _ids(2, 3), "mask": torch.zeros(2, 1, 1, 3)})
    memory = {f"memory.{n}": torch.zeros(2, sizes[0], 3, sizes[1]) for n in range(2 * config.decoder_layers)}
    for output, name in zip(encoder.outputs, memory, strict=True):
        output.get_tensor().set_names({name})
    _save(encoder, directory / ENCODER)
    decoder = _stateful(
        _TargetDecoder(model),
        {**_step(), "memory_mask": torch.zeros(2, 1, 1, 3), **memory},
        config.decoder_layers,
        sizes,
    )
    _save(decoder, directory / DECODER)


def gpt(model: GPT, directory: Path) -> None:
    """A decoder of (tokens [B, T], positions [B, T], rows [B], mask [B, 1, T, L])."""
    config = model.config
    sizes = (config.heads, config.width // config.heads)
    decoder = _stateful(_CausalDecoder(model), {**_step(), "mask": torch.zeros(4, 1, 1, 3)}, config.layers, sizes)
    _save(decoder, directory / DECODER)


def bert(model: Bert, directory: Path) -> None:
    """An encoder of (tokens [B, S], mask [B, 1, 1, S]) whose output is the logits."""
    _save(_converted(_Classifier(model), {"tokens": _ids(2, 3), "mask": torch.zeros(2, 1, 1, 3)}), directory / ENCODER)


def _ids(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.int64)


def _step() -> dict[str, Tensor]:
    return {"tokens": _ids(4, 1), "positions": _ids(4, 1), "rows": torch.arange(4, dtype=torch.int32)}


class _Encoder(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens_MS: Tensor, mask_M11S: Tensor) -> tuple[Tensor, ...]:
        x_MSC = self.model.embedding.sequence(tokens_MS)
        for layer in self.model.encoder:
            x_MSC = _layer(layer, x_MSC, mask_M11S)
        memory_MSC = self.model.encoder_norm(x_MSC)
        return tuple(part for layer in self.model.decoder for part in layer.project_memory(memory_MSC))


class _TargetDecoder(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens_BT: Tensor, positions_BT: Tensor, rows_B: Tensor, memory_mask_M11S: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        count = 2 * len(self.model.decoder)
        memory, pasts = rest[:count], rest[count:]
        x_BTC = self.model.embedding(tokens_BT, positions_BT)
        presents: list[Tensor] = []
        for n, layer in enumerate(self.model.decoder):
            past = _Past(pasts[2 * n : 2 * n + 2], rows_B, presents)
            x_BTC = _layer(layer, x_BTC, None, past, (*memory[2 * n : 2 * n + 2], memory_mask_M11S))
        return self.model.logits(self.model.decoder_norm(x_BTC[:, -1])), *presents


class _CausalDecoder(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens_BT: Tensor, positions_BT: Tensor, rows_B: Tensor, mask_B1TL: Tensor, *pasts: Tensor
    ) -> tuple[Tensor, ...]:
        x_BTC = self.model.embedding(tokens_BT, positions_BT)
        presents: list[Tensor] = []
        for n, layer in enumerate(self.model.layers):
            x_BTC = _layer(layer, x_BTC, mask_B1TL, _Past(pasts[2 * n : 2 * n + 2], rows_B, presents))
        return self.model.logits(self.model.norm(x_BTC[:, -1])), *presents


class _Classifier(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens_BS: Tensor, mask_B11S: Tensor) -> Tensor:
        model = self.model
        segments_BS = torch.zeros_like(tokens_BS)
        x_BSC = model.embedded(model.embedding.sequence(tokens_BS) + model.segment(segments_BS))
        for layer in model.layers:
            x_BSC = _layer(layer, x_BSC, mask_B11S)
        return model.classifier(model.pool(model.norm(x_BSC)))


class _Past:
    """A layer's keys and values so far; those that go on are added to `presents`."""

    def __init__(self, past: Sequence[Tensor], rows_B: Tensor, presents: list[Tensor]) -> None:
        self.past, self.rows_B, self.presents = past, rows_B, presents

    def extended(self, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        k, v = (
            torch.cat([past.index_select(0, self.rows_B), new], dim=2)
            for past, new in zip(self.past, (k_BHTD, v_BHTD), strict=True)
        )
        self.presents += (k, v)
        return k, v


def _layer(
    layer: Layer,
    x_BTC: Tensor,
    mask: Tensor | None,
    past: _Past | None = None,
    memory: tuple[Tensor, ...] | None = None,
) -> Tensor:
    """[B, T, C]: what the layer makes of its input, in either norm order."""
    own, cross = layer.self_attention, layer.cross_attention

    def sublayer(x: Tensor, norm: nn.Module | None, of: Any) -> Tensor:
        assert norm is not None, "each sublayer has its own"
        return x + of(norm(x)) if layer.norm_first else norm(x + of(x))

    def attend_own(x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(2, (own.heads, -1)).transpose(1, 2) for part in own.qkv(x).chunk(3, dim=2))
        if past is not None:
            k, v = past.extended(k, v)
        return own.output(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))

    def attend_memory(x: Tensor) -> Tensor:
        assert memory is not None and cross is not None  # noqa: PT018
        k_MHSD, v_MHSD, mask_M11S = memory
        # One token a row: the rows that read a memory are its queries.
        q_MHKD = cross.query(x).reshape(k_MHSD.shape[0], -1, cross.heads, cross.head_width).transpose(1, 2)
        out_MHKD = F.scaled_dot_product_attention(q_MHKD, k_MHSD, v_MHSD, attn_mask=mask_M11S)
        return cross.output(out_MHKD.transpose(1, 2).reshape(x.shape[0], -1, cross.width))

    x_BTC = sublayer(x_BTC, layer.self_norm, attend_own)
    if memory is not None:
        x_BTC = sublayer(x_BTC, layer.cross_norm, attend_memory)
    feedforward = layer.feedforward
    return sublayer(x_BTC, layer.feedforward_norm, lambda x: feedforward.outer(_activated(feedforward, x)))


def _activated(feedforward: Any, x: Tensor) -> Tensor:
    inner = feedforward.inner(x)
    # Ours may run a kernel, which cannot be recorded.
    return F.gelu(inner, approximate="tanh") if feedforward.activation is gelu_tanh else feedforward.activation(inner)


def _converted(module: nn.Module, inputs: dict[str, Tensor]) -> ov.Model:
    """With every size free but those of heads."""
    model = ov.convert_model(module.eval(), example_input=tuple(inputs.values()))
    for given, (name, example) in zip(model.inputs, inputs.items(), strict=True):
        given.get_tensor().set_names({name})
        cached = example.dim() == 4 and not name.endswith("mask")
        sizes = (DYNAMIC, example.shape[1], DYNAMIC, example.shape[3]) if cached else (DYNAMIC,) * example.dim()
        if name.endswith("mask"):
            sizes = (DYNAMIC, 1, DYNAMIC, DYNAMIC)
        given.get_node().set_partial_shape(ov.PartialShape(list(sizes)))
        given.get_node().set_element_type(TYPES[example.dtype])
    model.validate_nodes_and_infer_types()
    return model


def _stateful(module: nn.Module, inputs: dict[str, Tensor], layers: int, sizes: tuple[int, int]) -> ov.Model:
    heads, width = sizes
    pasts = {f"past.{n}": torch.zeros(4, heads, 2, width) for n in range(2 * layers)}
    model = _converted(module, {**inputs, **pasts})
    logits, *presents = model.outputs
    logits.get_tensor().set_names({"logits"})
    pairs = {}
    for name, output in zip(pasts, presents, strict=True):
        pairs[name] = name.replace("past", "present")
        output.get_tensor().set_names({pairs[name]})
    apply_make_stateful_transformation(model, pairs)
    _start_empty(model, heads, width)
    return model


def _start_empty(model: ov.Model, heads: int, width: int) -> None:
    """A state that is reset has as many rows as there are, and no columns."""
    rows = ops.shape_of(model.input("rows"), output_type="i64")
    shape = ops.concat([rows, ops.constant([heads, 0, width], dtype="int64")], axis=0)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            node.set_arguments([ops.broadcast(ops.constant(0.0, dtype="float32"), shape)])
    model.validate_nodes_and_infer_types()


def _save(model: ov.Model, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(model, path, compress_to_fp16=False)
