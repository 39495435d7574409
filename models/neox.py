"""A generator of the GPT-NeoX kind (Black et al. 2022): LayerNorm, rotary positions of which a share turns, and layers
whose two sublayers read the same input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from models.attention import SelfAttention
from models.config import Activation, ConfigError, DecoderConfig, TransformerConfig
from models.decoder import Decoder, token_embedding
from models.layers import DecoderLayer, FeedForward, ParallelLayer, activation, reset_normal
from models.rotary import Rotary, Rotation, with_rotation
from models.transformer import layer_norm


@dataclass(frozen=True, kw_only=True)
class NeoXConfig(TransformerConfig, DecoderConfig):
    """Decoder-only Transformer with parallel sublayers (Black et al. 2022, "GPT-NeoX-20B")."""

    architecture: ClassVar[str] = "neox"
    noun: ClassVar[str] = "a decoder-only Transformer of the GPT-NeoX kind"

    layers: int
    context: int = 2048
    dropout: float = 0.0
    activation: Activation = "gelu"
    rotation: Rotation = Rotation(share=0.25)  # noqa: RUF009 - frozen, as the rule wants it
    parallel: bool = True  # feed-forward reads what attention does; false: what it leaves
    attention_bias: bool = True
    tied_embeddings: bool = False
    start_id: int = 1
    end_id: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm != "pre":
            raise ConfigError(f"norm is {self.norm!r}, expected 'pre': {self.architecture} has no other order")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return super().from_dict(with_rotation(values))


class NeoX(Decoder):
    config: NeoXConfig

    def __init__(self, config: NeoXConfig) -> None:
        rotary = Rotary(config.rotation, positions=config.context, width=config.head_width)
        super().__init__(
            config,
            embedding=token_embedding(config, None),
            layers=(_layer(config, rotary) for _ in range(config.layers)),
            norm=layer_norm(config),
        )
        reset_normal(self)


def _layer(config: NeoXConfig, rotary: Rotary) -> DecoderLayer:
    kind = ParallelLayer if config.parallel else DecoderLayer
    return kind(
        self_attention=SelfAttention(
            config.width,
            config.heads,
            bias=config.attention_bias,
            output_bias=config.attention_bias,
            rotary=rotary,
            dropout=config.dropout,
        ),
        feedforward=FeedForward(config.width, config.feedforward, activation(config.activation)),
        norm=lambda: layer_norm(config),
        dropout=config.dropout,
    )
