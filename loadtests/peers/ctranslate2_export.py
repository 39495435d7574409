"""Our translator's weights as a CTranslate2 model, so that both compute the same function.

CTranslate2 knows the same architecture (`TransformerSpec`); only the names differ. Pre- or post-norm, sinusoidal or
learned positions, tied or own output projection.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from torch import Tensor, nn

from models.attention import CrossAttention, SelfAttention
from models.layers import DecoderLayer, EncoderLayer, FeedForward, TokenEmbedding
from models.seq2seq import Seq2Seq

ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
    "gelu_tanh": common_spec.Activation.GELUTanh,
    "silu": common_spec.Activation.SWISH,
}


def export(model: Seq2Seq, directory: Path) -> list[str]:
    """Write the model; its vocabulary by id: `0`, `1`, ..., and CTranslate2's own names for the special tokens."""
    config = model.config
    spec = transformer_spec.TransformerSpec.from_config(
        (config.encoder_layers, config.decoder_layers),
        config.heads,
        pre_norm=config.norm == "pre",
        activation=ACTIVATIONS[config.activation],
    )
    for side, layers, norm in (
        (spec.encoder, model.encoder, model.encoder_norm),
        (spec.decoder, model.decoder, model.decoder_norm),
    ):
        _embedding(side, model.embedding, encoder=side is spec.encoder)
        for target, layer in zip(side.layer, layers, strict=True):
            _layer(target, layer)
        if isinstance(norm, nn.LayerNorm):
            _norm(side.layer_norm, norm)
    own = model.embedding.output
    spec.decoder.projection.weight = _array(own.weight if isinstance(own, nn.Linear) else model.embedding.token.weight)
    names = {config.pad_id: "<blank>", config.start_id: "<s>", config.end_id: "</s>"}
    vocabulary = [names.get(token, str(token)) for token in range(config.vocab_size)]
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)
    spec.config.bos_token, spec.config.eos_token = "<s>", "</s>"
    spec.config.decoder_start_token = "<s>"
    spec.config.layer_norm_epsilon = config.norm_epsilon
    spec.validate()
    directory.mkdir(parents=True, exist_ok=True)
    spec.save(str(directory))
    return vocabulary


def _embedding(side: object, embedding: TokenEmbedding, *, encoder: bool) -> None:
    target = side.embeddings[0] if encoder else side.embeddings  # type: ignore[attr-defined]
    target.weight = _array(embedding.token.weight)
    side.scale_embeddings = embedding.scale != 1  # type: ignore[attr-defined]
    table = embedding.sinusoids if embedding.position is None else embedding.position.weight
    side.position_encodings.encodings = _array(table)  # type: ignore[attr-defined]


def _layer(target: object, layer: EncoderLayer | DecoderLayer) -> None:
    _self_attention(target.self_attention, layer.self_attention, layer.self_norm)  # type: ignore[attr-defined]
    if isinstance(layer, DecoderLayer) and layer.cross_attention is not None and layer.cross_norm is not None:
        _cross_attention(target.attention, layer.cross_attention, layer.cross_norm)  # type: ignore[attr-defined]
    _feedforward(target.ffn, layer.feedforward, layer.feedforward_norm)  # type: ignore[attr-defined]


def _self_attention(target: object, attention: SelfAttention, norm: nn.LayerNorm) -> None:
    _norm(target.layer_norm, norm)  # type: ignore[attr-defined]
    for place, linear in zip(target.linear, (attention.qkv, attention.output), strict=True):  # type: ignore[attr-defined]
        _linear(place, linear)


def _cross_attention(target: object, attention: CrossAttention, norm: nn.LayerNorm) -> None:
    _norm(target.layer_norm, norm)  # type: ignore[attr-defined]
    ours = (attention.query, attention.key_value, attention.output)
    for place, linear in zip(target.linear, ours, strict=True):  # type: ignore[attr-defined]
        _linear(place, linear)


def _feedforward(target: object, feedforward: FeedForward, norm: nn.LayerNorm) -> None:
    _norm(target.layer_norm, norm)  # type: ignore[attr-defined]
    _linear(target.linear_0, feedforward.inner)  # type: ignore[attr-defined]
    _linear(target.linear_1, feedforward.outer)  # type: ignore[attr-defined]


def _linear(target: object, linear: nn.Linear) -> None:
    target.weight, target.bias = _array(linear.weight), _array(linear.bias)  # type: ignore[attr-defined]


def _norm(target: object, norm: nn.LayerNorm) -> None:
    target.gamma, target.beta = _array(norm.weight), _array(norm.bias)  # type: ignore[attr-defined]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()
