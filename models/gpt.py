"""The generator: a decoder-only Transformer (Radford et al. 2019, GPT-2)."""

from __future__ import annotations

import math

from torch import nn

from models.config import GPTConfig
from models.decoder import Decoder
from models.layers import TokenEmbedding
from models.transformer import decoder_layer, final_norm, position_vectors


class GPT(Decoder):
    config: GPTConfig

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(
            config,
            embedding=TokenEmbedding(
                config.vocab_size,
                config.width,
                pad_id=config.pad_id,
                positions=position_vectors("learned", config.context, config.width),
                tied=config.tied_embeddings,
                dropout=config.dropout,
            ),
            layers=(decoder_layer(config, cross=False) for _ in range(config.layers)),
            norm=final_norm(config),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal with 0.02; projections into the residual stream divided by sqrt(2 * layers), as GPT-2 does."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(("self_attention.output.weight", "feedforward.outer.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * self.config.layers) if residual else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
