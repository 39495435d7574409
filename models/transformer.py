"""The layers of the first Transformers, assembled: multi-head attention and a plain feed-forward layer with biases,
LayerNorm, and position vectors that are added to those of the tokens."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from models.attention import CrossAttention, SelfAttention
from models.config import BertConfig, GPTConfig, Positions, Seq2SeqConfig, TransformerConfig
from models.layers import FeedForward, Layer, PositionVectors, Sinusoids, Stack, activation

L = TypeVar("L", bound=Layer)


def plain_layers(
    kind: type[L], config: Seq2SeqConfig | GPTConfig | BertConfig, count: int, *, cross: bool = False
) -> Stack[L]:
    """`cross`: with attention to an encoder's output."""
    return Stack(
        kind(
            self_attention=SelfAttention(config.width, config.heads, dropout=config.dropout),
            feedforward=FeedForward(config.width, config.feedforward, activation(config.activation)),
            cross_attention=CrossAttention(config.width, config.heads, dropout=config.dropout) if cross else None,
            norm=lambda: layer_norm(config),
            norm_first=config.norm == "pre",
            dropout=config.dropout,
        )
        for _ in range(count)
    )


def layer_norm(config: TransformerConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=config.norm_epsilon)


def final_norm(config: TransformerConfig) -> nn.Module:
    """Pre-norm stacks end in a norm of their own; post-norm layers already do."""
    return layer_norm(config) if config.norm == "pre" else nn.Identity()


def position_vectors(kind: Positions, positions: int, width: int, pad_id: int = 0) -> PositionVectors:
    if kind == "learned":
        return nn.Embedding(positions, width)
    first = pad_id + 1 if kind == "sinusoidal_fairseq" else 0
    return Sinusoids(positions, width, first=first, paper=kind == "sinusoidal_paper")
