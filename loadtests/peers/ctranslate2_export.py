"""Our weights as CTranslate2 models, so that both compute the same function.

CTranslate2 knows the same architectures; only the names differ. Translators and classifiers pre- or post-norm,
generators too; sinusoidal or learned positions, tied or own output projection. A model is written in float32: which
format it computes in is chosen when it is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from torch import Tensor, nn

from models.attention import CrossAttention, SelfAttention
from models.bert import Bert
from models.config import AutoregressiveConfig
from models.gpt import GPT
from models.layers import DecoderLayer, EncoderLayer, FeedForward, TokenEmbedding
from models.seq2seq import Seq2Seq

ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
    "gelu_tanh": common_spec.Activation.GELUTanh,
    "silu": common_spec.Activation.SWISH,
}


def seq2seq(model: Seq2Seq, directory: Path) -> None:
    """For `ctranslate2.Translator`."""
    config = model.config
    spec = transformer_spec.TransformerSpec.from_config(
        (config.encoder_layers, config.decoder_layers),
        config.heads,
        pre_norm=config.norm == "pre",
        activation=ACTIVATIONS[config.activation],
    )
    _embedding(spec.encoder, spec.encoder.embeddings[0], model.embedding)
    _embedding(spec.decoder, spec.decoder.embeddings, model.embedding)
    _stack(spec.encoder, model.encoder, model.encoder_norm)
    _stack(spec.decoder, model.decoder, model.decoder_norm)
    _projection(spec.decoder, model.embedding)
    names = vocabulary(config)
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.decoder_start_token = names[config.start_id]
    spec.config.layer_norm_epsilon = config.norm_epsilon
    _save(spec, config, directory)


def gpt(model: GPT, directory: Path) -> None:
    """For `ctranslate2.Generator`."""
    config = model.config
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        config.layers, config.heads, pre_norm=config.norm == "pre", activation=ACTIVATIONS[config.activation]
    )
    _embedding(spec.decoder, spec.decoder.embeddings, model.embedding)
    _stack(spec.decoder, model.layers, model.norm)
    _projection(spec.decoder, model.embedding)
    spec.register_vocabulary(vocabulary(config))
    spec.config.layer_norm_epsilon = config.norm_epsilon
    _save(spec, config, directory)


def bert(model: Bert, directory: Path) -> None:
    """For `ctranslate2.Encoder`, up to the pooled vectors: it has no classification head."""
    config = model.config
    encoder = transformer_spec.TransformerEncoderSpec(
        config.layers,
        config.heads,
        pre_norm=config.norm == "pre",
        activation=ACTIVATIONS[config.activation],
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    spec = transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=True)
    _embedding(encoder, encoder.embeddings[0], model.embedding)
    encoder.embeddings[1].weight = _array(model.segment.weight)
    _norm(encoder.layernorm_embedding, model.embedding_norm)
    _stack(encoder, model.layers, model.norm)
    _linear(spec.pooler_dense, model.pooler)
    spec.register_vocabulary(vocabulary(config))
    spec.config.layer_norm_epsilon = config.norm_epsilon
    _save(spec, config, directory)


def vocabulary(config: Any) -> list[str]:
    """Tokens by id: `0`, `1`, ..., and CTranslate2's own names for the special ones."""
    names = {config.pad_id: "<blank>"}
    if isinstance(config, AutoregressiveConfig):
        names |= {config.start_id: "<s>", config.end_id: "</s>"}
    return [names.get(token, str(token)) for token in range(config.vocab_size)]


def _save(spec: Any, config: Any, directory: Path) -> None:
    names = vocabulary(config)
    if isinstance(config, AutoregressiveConfig):
        spec.config.bos_token, spec.config.eos_token = names[config.start_id], names[config.end_id]
    spec.config.unk_token = names[config.pad_id]
    spec.validate()
    spec.optimize()  # matrices that occur more than once are kept once
    directory.mkdir(parents=True, exist_ok=True)
    spec.save(str(directory))


def _embedding(side: Any, target: Any, embedding: TokenEmbedding) -> None:
    target.weight = _array(embedding.token.weight)
    side.scale_embeddings = embedding.scale != 1
    assert embedding.position is not None
    side.position_encodings.encodings = _array(embedding.position.weight)


def _projection(side: Any, embedding: TokenEmbedding) -> None:
    own = embedding.output
    side.projection.weight = _array(own.weight if isinstance(own, nn.Linear) else embedding.token.weight)


def _stack(side: Any, layers: Any, norm: nn.Module) -> None:
    for target, layer in zip(side.layer, layers, strict=True):
        _layer(target, layer)
    if isinstance(norm, nn.LayerNorm):
        _norm(side.layer_norm, norm)


def _layer(target: Any, layer: EncoderLayer | DecoderLayer) -> None:
    _self_attention(target.self_attention, layer.self_attention, layer.self_norm)
    if isinstance(layer, DecoderLayer) and layer.cross_attention is not None and layer.cross_norm is not None:
        _cross_attention(target.attention, layer.cross_attention, layer.cross_norm)
    _feedforward(target.ffn, layer.feedforward, layer.feedforward_norm)


def _self_attention(target: Any, attention: SelfAttention, norm: nn.Module) -> None:
    _norm(target.layer_norm, norm)
    for place, linear in zip(target.linear, (attention.qkv, attention.output), strict=True):
        _linear(place, linear)


def _cross_attention(target: Any, attention: CrossAttention, norm: nn.Module) -> None:
    _norm(target.layer_norm, norm)
    for place, linear in zip(target.linear, (attention.query, attention.key_value, attention.output), strict=True):
        _linear(place, linear)


def _feedforward(target: Any, feedforward: FeedForward, norm: nn.Module) -> None:
    _norm(target.layer_norm, norm)
    _linear(target.linear_0, feedforward.inner)
    _linear(target.linear_1, feedforward.outer)


def _linear(target: Any, linear: nn.Linear) -> None:
    target.weight, target.bias = _array(linear.weight), _array(linear.bias)


def _norm(target: Any, norm: Any) -> None:
    target.gamma, target.beta = _array(norm.weight), _array(norm.bias)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()
