"""Our models as Hugging Face transformers models with the same weights, so that both compute the same function.

Pre-norm translators are M2M100's architecture, post-norm ones Marian's; generators are GPT-2's; post-norm classifiers
are BERT's, pre-norm ones RoBERTa-PreLayerNorm's. The results are in eval mode and float32, share no memory with ours,
and `generate` starts and ends with our tokens. A post-norm generator, which is no GPT-2, raises ValueError.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
    RobertaPreLayerNormConfig,
    RobertaPreLayerNormForSequenceClassification,
)

from models.bert import Bert
from models.gpt import GPT
from models.layers import Layer, TokenEmbedding
from models.seq2seq import Seq2Seq

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "silu": "silu"}
Weights = dict[str, Tensor]


def seq2seq(model: Seq2Seq) -> PreTrainedModel:
    """`generate(input_ids, attention_mask=...)` of the result translates like ours."""
    config = model.config
    if config.places == "own":
        raise ValueError("places is 'own', expected 'shared': the decoder's positions are those of the encoder")
    fields: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "d_model": config.width,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.heads,
        "decoder_attention_heads": config.heads,
        "encoder_ffn_dim": config.feedforward,
        "decoder_ffn_dim": config.feedforward,
        "max_position_embeddings": max(config.max_source, config.max_target),
        "activation_function": ACTIVATIONS[config.activation],
        "scale_embedding": config.scale_embeddings,
        "tie_word_embeddings": config.tied_embeddings,
        "pad_token_id": config.pad_id,
        "bos_token_id": config.start_id,
        "eos_token_id": config.end_id,
        "decoder_start_token_id": config.start_id,
        "forced_bos_token_id": None,
        "forced_eos_token_id": None,
    }
    theirs: Any
    if config.norm == "pre":
        theirs = M2M100ForConditionalGeneration(M2M100Config(**fields))
    else:
        theirs = MarianMTModel(MarianConfig(**fields))
    core = theirs.model
    core.shared.weight.data.copy_(model.embedding.token.weight)
    core.set_input_embeddings(core.shared)  # both sides read it, whether or not the output is tied to it
    own = model.embedding.output
    if isinstance(own, nn.Linear):
        theirs.lm_head.weight.data.copy_(own.weight)
    for side, layers, norm in (
        (core.encoder, model.encoder, model.encoder_norm),
        (core.decoder, model.decoder, model.decoder_norm),
    ):
        side.embed_positions = _Positions(_positions(model.embedding))
        for target, layer in zip(side.layers, layers, strict=True):
            target.load_state_dict(_seq2seq_layer(layer))
        if isinstance(norm, nn.LayerNorm):
            side.layer_norm.load_state_dict(norm.state_dict())
    for module in theirs.modules():  # their configs have no field for it
        if isinstance(module, nn.LayerNorm):
            module.eps = config.norm_epsilon
    return theirs.eval()


def gpt(model: GPT) -> GPT2LMHeadModel:
    config = model.config
    if config.norm != "pre":
        raise ValueError(f"GPT-2 is pre-norm, the model's norm is {config.norm!r}")
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            n_inner=config.feedforward,
            activation_function=ACTIVATIONS[config.activation],
            layer_norm_epsilon=config.norm_epsilon,
            tie_word_embeddings=config.tied_embeddings,
            pad_token_id=config.pad_id,
            bos_token_id=config.start_id,
            eos_token_id=config.end_id,
        )
    )
    core = theirs.transformer
    core.wte.weight.data.copy_(model.embedding.token.weight)
    core.wpe.weight.data.copy_(_positions(model.embedding))
    own = model.embedding.output
    if isinstance(own, nn.Linear):
        theirs.lm_head.weight.data.copy_(own.weight)
    for target, layer in zip(core.h, model.layers, strict=True):
        target.load_state_dict(
            _named("ln_1", layer.self_norm)
            | _conv1d("attn.c_attn", layer.self_attention.qkv)
            | _conv1d("attn.c_proj", layer.self_attention.output)
            | _named("ln_2", layer.feedforward_norm)
            | _conv1d("mlp.c_fc", layer.feedforward.inner)
            | _conv1d("mlp.c_proj", layer.feedforward.outer)
        )
    core.ln_f.load_state_dict(model.norm.state_dict())
    return theirs.eval()


def bert(model: Bert) -> PreTrainedModel:
    """A sequence classifier: `logits` [B, L] from `input_ids`, `attention_mask` and, if given, `token_type_ids`."""
    config = model.config
    fields: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feedforward,
        "hidden_act": ACTIVATIONS[config.activation],
        "max_position_embeddings": config.max_positions,
        "type_vocab_size": config.segments,
        "layer_norm_eps": config.norm_epsilon,
        "pad_token_id": config.pad_id,
        "num_labels": config.labels,
    }
    theirs: Any
    if config.norm == "post":
        theirs = BertForSequenceClassification(BertConfig(**fields))
        core, pooler, head = theirs.bert, theirs.bert.pooler.dense, theirs.classifier
    else:
        # Their positions count from the padding token's id + 1.
        fields["max_position_embeddings"] += config.pad_id + 1
        theirs = RobertaPreLayerNormForSequenceClassification(RobertaPreLayerNormConfig(**fields))
        core, pooler, head = theirs.roberta_prelayernorm, theirs.classifier.dense, theirs.classifier.out_proj
        core.LayerNorm.load_state_dict(model.norm.state_dict())
    embeddings = core.embeddings
    embeddings.word_embeddings.weight.data.copy_(model.embedding.token.weight)
    embeddings.position_embeddings.weight.data[-config.max_positions :].copy_(_positions(model.embedding))
    embeddings.token_type_embeddings.weight.data.copy_(model.segment.weight)
    embeddings.LayerNorm.load_state_dict(model.embedding_norm.state_dict())
    norms = ("attention.output", "output") if config.norm == "post" else ("attention", "intermediate")
    for target, layer in zip(core.encoder.layer, model.layers, strict=True):
        target.load_state_dict(
            _split(("attention.self.query", "attention.self.key", "attention.self.value"), layer.self_attention.qkv)
            | _named("attention.output.dense", layer.self_attention.output)
            | _named(f"{norms[0]}.LayerNorm", layer.self_norm)
            | _named("intermediate.dense", layer.feedforward.inner)
            | _named("output.dense", layer.feedforward.outer)
            | _named(f"{norms[1]}.LayerNorm", layer.feedforward_norm)
        )
    pooler.load_state_dict(model.pooler.state_dict())
    head.load_state_dict(model.classifier.state_dict())
    return theirs.eval()


class _Positions(nn.Module):
    """Our position vectors. Theirs skip positions of padding tokens, ours (and CTranslate2's) count every token."""

    table: Tensor

    def __init__(self, table_TC: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table_TC.clone(), persistent=False)

    def forward(self, tokens: Any, *arguments: Any, position_ids: Tensor | None = None) -> Tensor:
        """M2M100 passes (ids, vectors) or (ids, vectors, tokens before); Marian (shape) or (shape, tokens before)."""
        length = (tokens.shape if isinstance(tokens, Tensor) else tokens)[1]
        before = next((a for a in arguments if isinstance(a, int)), 0)
        return self.table[before : before + length] if position_ids is None else self.table[position_ids]


def _positions(embedding: TokenEmbedding) -> Tensor:
    assert embedding.position is not None
    return embedding.position.weight.detach()


def _seq2seq_layer(layer: Layer) -> Weights:
    weights = (
        _split(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), layer.self_attention.qkv)
        | _named("self_attn.out_proj", layer.self_attention.output)
        | _named("self_attn_layer_norm", layer.self_norm)
        | _named("fc1", layer.feedforward.inner)
        | _named("fc2", layer.feedforward.outer)
        | _named("final_layer_norm", layer.feedforward_norm)
    )
    cross = layer.cross_attention
    if cross is not None:
        weights |= (
            _named("encoder_attn.q_proj", cross.query)
            | _split(("encoder_attn.k_proj", "encoder_attn.v_proj"), cross.key_value)
            | _named("encoder_attn.out_proj", cross.output)
            | _named("encoder_attn_layer_norm", layer.cross_norm)
        )
    return weights


def _named(name: str, linear_or_norm: Any) -> Weights:
    return linear_or_norm.state_dict(prefix=f"{name}.")


def _split(names: tuple[str, ...], linear: nn.Linear) -> Weights:
    """One projection of ours is several of theirs."""
    weights, biases = linear.weight.chunk(len(names)), linear.bias.chunk(len(names))
    return {f"{n}.weight": w for n, w in zip(names, weights, strict=True)} | {
        f"{n}.bias": b for n, b in zip(names, biases, strict=True)
    }


def _conv1d(name: str, linear: nn.Linear) -> Weights:
    """GPT-2's Conv1D is a linear layer with its weight transposed."""
    return {f"{name}.weight": linear.weight.T, f"{name}.bias": linear.bias}
