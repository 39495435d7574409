"""The generator: a decoder-only Transformer (Radford et al. 2019, GPT-2)."""

from __future__ import annotations

import math

from models.config import GPTConfig
from models.decoder import Decoder, token_embedding
from models.layers import DecoderLayer, reset_normal
from models.transformer import final_norm, plain_layers, position_vectors


class GPT(Decoder):
    config: GPTConfig

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(
            config,
            embedding=token_embedding(config, position_vectors("learned", config.context, config.width)),
            layers=plain_layers(DecoderLayer, config, config.layers),
            norm=final_norm(config),
        )
        reset_normal(self, residual=math.sqrt(2 * config.layers))
