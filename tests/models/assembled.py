"""A decoder of parts that no shipped architecture has: RMSNorm, rotary positions, grouped queries, SwiGLU."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from models.attention import SelfAttention
from models.config import GPTConfig
from models.decoder import Decoder
from models.layers import DecoderLayer, GatedFeedForward, TokenEmbedding
from models.rotary import Rotary, Rotation
from tests.models.tiny import roughened

KV_HEADS = 2
CONFIG = GPTConfig(vocab_size=61, width=32, heads=4, feedforward=48, layers=2, context=24, tied_embeddings=False)
PLAIN = Rotation(theta=500.0)
DYNAMIC = Rotation(scaling="dynamic", factor=2.0, trained_context=6)  # texts are longer than that


class Assembled(Decoder):
    """It has nothing but its parts of its own."""

    def __init__(self, config: GPTConfig, rotation: Rotation) -> None:
        norm = partial(nn.RMSNorm, config.width, eps=config.norm_epsilon)
        rotary = Rotary(rotation, positions=config.context, width=config.head_width)
        super().__init__(
            config,
            embedding=TokenEmbedding(
                config.vocab_size, config.width, pad_id=config.pad_id, positions=None, tied=config.tied_embeddings
            ),
            layers=(
                DecoderLayer(
                    self_attention=SelfAttention(
                        config.width, config.heads, kv_heads=KV_HEADS, output_bias=False, rotary=rotary
                    ),
                    feedforward=GatedFeedForward(config.width, config.feedforward, F.silu, bias=False),
                    norm=norm,
                )
                for _ in range(config.layers)
            ),
            norm=norm(),
        )


def assembled(rotation: Rotation = PLAIN) -> Assembled:
    torch.manual_seed(0)
    model = Assembled(CONFIG, rotation).eval()
    roughened(model)
    return model
