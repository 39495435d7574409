"""A Llama-style generator (Touvron et al. 2023): RMSNorm, rotary positions, grouped queries, SwiGLU. With `qkv_bias`
it is Qwen 2's architecture, with `attention_width` and `head_norm` Qwen 3's, with `unrotated` layers SmolLM 3's, with
`tied_embeddings` that of the small models of these families."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

from torch import nn

from models.attention import SelfAttention
from models.config import Activation, ConfigError, DecoderConfig, TransformerConfig, rare
from models.decoder import Decoder, token_embedding
from models.layers import DecoderLayer, GatedFeedForward, activation, reset_normal
from models.rotary import Rotary, Rotation, with_rotation


@dataclass(frozen=True, kw_only=True)
class LlamaConfig(TransformerConfig, DecoderConfig):
    """Decoder-only Transformer of gated layers (Touvron et al. 2023, "Llama")."""

    architecture: ClassVar[str] = "llama"
    noun: ClassVar[str] = "a decoder-only Transformer of the Llama kind"

    layers: int
    kv_heads: int | None = None  # key/value heads, which divide heads; None: as many as heads
    context: int = 2048
    dropout: float = 0.0
    norm_epsilon: float = 1e-6
    activation: Activation = "silu"
    attention_width: int | None = rare(None)  # of the queries of all heads together; None: width
    head_norm: bool = rare(False)  # each head's queries and keys are normed before they are turned
    rotation: Rotation = Rotation()  # noqa: RUF009 - frozen, as the rule wants it
    unrotated: tuple[int, ...] = rare(())  # layers, from 0, that know no positions (Kazemnejad et al. 2023, "NoPE")
    qkv_bias: bool = False
    output_bias: bool = False  # of attention's output
    feedforward_bias: bool = False
    tied_embeddings: bool = False
    start_id: int = 1
    end_id: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm != "pre":
            raise ConfigError(f"norm is {self.norm!r}, expected 'pre': {self.architecture} has no other order")
        if self.kv_heads is not None and (self.kv_heads < 1 or self.heads % self.kv_heads):
            raise ConfigError(f"kv_heads is {self.kv_heads}, expected a divisor of heads {self.heads}")
        if self.head_width % 2:
            raise ConfigError(
                f"width {self.heads_width} with heads {self.heads} makes heads of odd width {self.head_width}"
            )
        if wrong := [layer for layer in self.unrotated if not 0 <= layer < self.layers]:
            raise ConfigError(f"unrotated has {wrong[0]}, there are layers 0 to {self.layers - 1}")

    @property
    def heads_width(self) -> int:
        return self.width if self.attention_width is None else self.attention_width

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return super().from_dict({**with_rotation(values), "unrotated": tuple(values.get("unrotated", ()))})


class Llama(Decoder):
    config: LlamaConfig

    def __init__(self, config: LlamaConfig) -> None:
        norm = partial(nn.RMSNorm, config.width, eps=config.norm_epsilon)
        rotary = Rotary(config.rotation, positions=config.context, width=config.head_width)
        super().__init__(
            config,
            embedding=token_embedding(config, None),
            layers=(
                _layer(config, norm, None if each in config.unrotated else rotary) for each in range(config.layers)
            ),
            norm=norm(),
        )
        reset_normal(self)


def _layer(config: LlamaConfig, norm: partial[nn.RMSNorm], rotary: Rotary | None) -> DecoderLayer:
    head_norm = partial(nn.RMSNorm, config.head_width, eps=config.norm_epsilon)
    return DecoderLayer(
        self_attention=SelfAttention(
            config.width,
            config.heads,
            kv_heads=config.kv_heads,
            head_width=config.head_width,
            head_norm=head_norm if config.head_norm else None,
            bias=config.qkv_bias,
            output_bias=config.output_bias,
            rotary=rotary,
            dropout=config.dropout,
        ),
        feedforward=GatedFeedForward(
            config.width, config.feedforward, activation(config.activation), bias=config.feedforward_bias
        ),
        norm=norm,
        dropout=config.dropout,
    )
