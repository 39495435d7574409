"""GPT-NeoX: Pythia, Polyglot-Ko."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from models.huggingface.family import Assembled, Family, Special
from models.huggingface.fields import Fields
from models.huggingface.rotation import rotation_of
from models.huggingface.rules import Rule, ordered, same
from models.neox import NeoXConfig


def _assembled(fields: Fields, special: Special) -> Assembled:
    fields.without_effect("attention_dropout", "hidden_dropout", "classifier_dropout", "rotary_emb_base")
    # Old files have other names for how queries and keys are turned, and the same defaults.
    base = fields.take("rotary_emb_base", float, 10_000.0)
    rotation, context = rotation_of(fields, fields.take("max_position_embeddings", int, 2048), base, share=0.25)
    config = NeoXConfig(
        vocab_size=fields.take("vocab_size", int),
        width=fields.take("hidden_size", int),
        heads=fields.take("num_attention_heads", int),
        feedforward=fields.take("intermediate_size", int),
        norm_epsilon=fields.take("layer_norm_eps", float, 1e-5),
        pad_id=special.pad or 0,
        layers=fields.take("num_hidden_layers", int),
        context=context,
        activation=fields.activation("hidden_act"),
        rotation=rotation,
        parallel=fields.take("use_parallel_residual", bool, True),
        attention_bias=fields.take("attention_bias", bool, True),
        tied_embeddings=fields.take("tie_word_embeddings", bool, False),
        start_id=special.start or 0,
        end_id=special.ends[0] if special.ends else 0,
    )
    return Assembled(
        config=config,
        rules=list(_rules(config)),
        tied={"embed_out.weight": "gpt_neox.embed_in.weight"} if config.tied_embeddings else {},
        unused=("*.attention.bias", "*.attention.masked_bias", "*.rotary_emb.inv_freq"),
    )


def _rules(config: NeoXConfig) -> Iterator[Rule]:
    def by_kind(rows: Tensor) -> Tensor:
        """From the query, key and value of one head after the other, to all queries, keys and values."""
        return rows.unflatten(0, (config.heads, 3, config.head_width)).transpose(0, 1).flatten(0, 2)

    def by_head(rows: Tensor) -> Tensor:
        return rows.unflatten(0, (3, config.heads, config.head_width)).transpose(0, 1).flatten(0, 2)

    yield same("embedding.token", "gpt_neox.embed_in")
    yield same("embedding.output", "embed_out")
    yield same("norm", "gpt_neox.final_layer_norm")
    for layer in range(config.layers):
        ours, theirs = f"layers.{layer}", f"gpt_neox.layers.{layer}"
        yield same(f"{ours}.self_norm", f"{theirs}.input_layernorm")
        yield ordered(f"{ours}.self_attention.qkv", f"{theirs}.attention.query_key_value", by_kind, by_head)
        yield same(f"{ours}.self_attention.output", f"{theirs}.attention.dense")
        yield same(f"{ours}.feedforward_norm", f"{theirs}.post_attention_layernorm")
        yield same(f"{ours}.feedforward.inner", f"{theirs}.mlp.dense_h_to_4h")
        yield same(f"{ours}.feedforward.outer", f"{theirs}.mlp.dense_4h_to_h")


GPT_NEOX = Family(tasks={"GPTNeoXForCausalLM": "generate"}, assemble=_assembled)
