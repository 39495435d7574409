"""The generator: a decoder-only Transformer (Radford et al. 2019, GPT-2).

A slot holds the self-attention keys and values of prompt and continuation. Shapes: B rows, T tokens, C width,
V vocabulary.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from models.cache import Chunk, KeyValueCache
from models.config import GPTConfig
from models.interface import CausalBatch, Prompts
from models.layers import DecoderLayer, Stack, TokenEmbedding, final_norm, last_tokens


class GPT(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(
            config, positions="learned", max_positions=config.context, scale=False, tied=config.tied_embeddings
        )
        self.layers: Stack[DecoderLayer] = Stack(DecoderLayer(config, cross=False) for _ in range(config.layers))
        self.norm = final_norm(config)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal with 0.02; projections into the residual stream divided by sqrt(2 * layers), as GPT-2 does."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                residual = name.endswith(("self_attention.output.weight", "feedforward.outer.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * self.config.layers) if residual else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, batch: CausalBatch) -> Tensor:
        """Logits [B, T, V] of the next token at each position."""
        return self.logits(self.hidden(batch))

    def hidden(self, batch: CausalBatch) -> Tensor:
        """[B, T, C]: what `logits` projects; training projects only the positions that count."""
        x_BTC = self.embedding.sequence(batch.tokens_BT)
        for layer in self.layers:
            x_BTC = layer(x_BTC)
        return self.norm(x_BTC)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.embedding.logits(hidden)

    def prefill(
        self, prompts: Prompts, slots_B: Tensor, cache: KeyValueCache, memories_B: Tensor | None = None
    ) -> Tensor:
        """One causal pass over the prompts, or over a chunk of each that goes on where the slot's last one ended."""
        if prompts.starts_B is None:
            x_BTC = self.embedding.sequence(prompts.tokens_BS)
            for index, layer in enumerate(self.layers):  # padding comes after every real token: none attends to it
                x_BTC = layer.prefill(x_BTC, index, slots_B, cache)
        else:
            chunk = Chunk.of(slots_B, prompts.starts_B, prompts.lengths_B, prompts.tokens_BS.shape[1])
            x_BTC = self.embedding(prompts.tokens_BS, chunk.positions_BT)
            for index, layer in enumerate(self.layers):
                x_BTC = layer.extend(x_BTC, index, chunk, cache)
        return self.logits(self.norm(last_tokens(x_BTC, prompts.lengths_B)[:, 0]))

    def decode(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        """One token a row, at its position counted from the start of the prompt."""
        mask = cache.step_mask(positions_B)
        x_BC = self.embedding(tokens_B, positions_B)
        for index, layer in enumerate(self.layers):
            x_BC = layer.decode(x_BC, index, positions_B, mask, cache)
        return self.logits(self.norm(x_BC))
