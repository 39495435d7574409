"""Our weights as CTranslate2 models, so that both compute the same function.

CTranslate2 knows the same architectures; only the names differ. Translators and classifiers pre- or post-norm,
generators too; sinusoidal or learned positions, tied or own output projection. A model is written in float32: which
format it computes in is chosen when it is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from torch import Tensor, nn

from loadtests.peers.ctranslate2_peer import vocabulary
from models.bert import Bert
from models.config import AutoregressiveConfig, Config
from models.gpt import GPT
from models.layers import Layer, TokenEmbedding
from models.seq2seq import Seq2Seq
from models.shortlist import Translations

VOCABULARY_MAP = "vmap.txt"  # as CTranslate2 calls it
ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,
    "gelu_tanh": common_spec.Activation.GELUTanh,
    "silu": common_spec.Activation.SWISH,
}


def seq2seq(model: Seq2Seq, directory: Path) -> None:
    """For `ctranslate2.Translator`."""
    config = model.config
    if config.places == "own":
        raise ValueError("places is 'own', expected 'shared': the decoder's positions are those of the encoder")
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
    names = vocabulary(vars(config))
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.decoder_start_token = names[config.start_id]
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
    spec.register_vocabulary(vocabulary(vars(config)))
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
    spec.register_vocabulary(vocabulary(vars(config)))
    _save(spec, config, directory)


def vocabulary_map(table: Translations, config: Config, directory: Path) -> None:
    """A table as CTranslate2's vocabulary map, which belongs to the translator in `directory`: a line for each source
    token with what translates it and the token itself, and one without a source token for what is always allowed. What
    the sources of a batch have is there allowed to all of the batch."""
    names = vocabulary(vars(config))
    lists = [("", table.always.tolist())]
    lists += [(name, [source, *table.of_token(source).tolist()]) for source, name in enumerate(names)]
    lines = [source + "\t" + " ".join(names[token] for token in tokens) for source, tokens in lists]
    (directory / VOCABULARY_MAP).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _save(spec: Any, config: Any, directory: Path) -> None:
    names = vocabulary(vars(config))
    if isinstance(config, AutoregressiveConfig):
        spec.config.bos_token, spec.config.eos_token = names[config.start_id], names[config.end_id]
    spec.config.unk_token = names[config.pad_id]
    spec.config.layer_norm_epsilon = config.norm_epsilon
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


def _layer(target: Any, layer: Layer) -> None:
    own, feedforward = layer.self_attention, layer.feedforward
    _sublayer(target.self_attention, layer.self_norm, target.self_attention.linear, (own.qkv, own.output))
    cross = layer.cross_attention
    if cross is not None:
        _sublayer(
            target.attention, layer.cross_norm, target.attention.linear, (cross.query, cross.key_value, cross.output)
        )
    places = (target.ffn.linear_0, target.ffn.linear_1)
    _sublayer(target.ffn, layer.feedforward_norm, places, (feedforward.inner, feedforward.outer))


def _sublayer(target: Any, norm: Any, places: Sequence[Any], linears: Sequence[nn.Linear]) -> None:
    _norm(target.layer_norm, norm)
    for place, linear in zip(places, linears, strict=True):
        _linear(place, linear)


def _linear(target: Any, linear: nn.Linear) -> None:
    target.weight, target.bias = _array(linear.weight), _array(linear.bias)


def _norm(target: Any, norm: Any) -> None:
    target.gamma, target.beta = _array(norm.weight), _array(norm.bias)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()
