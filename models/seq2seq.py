"""The translator: an encoder-decoder Transformer (Vaswani et al. 2017).

A slot holds the self-attention keys and values of the target so far, the cross-attention keys and values of the source,
and the source's length. Shapes: B rows, S source tokens, T target tokens, C width, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.cache import CacheShape, KeyValueCache
from models.config import Seq2SeqConfig
from models.interface import Prompts, Seq2SeqBatch, StateSize
from models.layers import (
    DecoderLayer,
    EncoderLayer,
    Memory,
    Places,
    PositionVectors,
    TokenEmbedding,
    last_tokens,
    padding_mask,
    reset_xavier,
)
from models.transformer import final_norm, layer_norm, plain_layers, position_vectors


class Seq2Seq(nn.Module):
    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(
            config.vocab_size,
            config.width,
            pad_id=config.pad_id,
            positions=_positions(config),
            norm=_embedding_norm(config),
            scale=math.sqrt(config.width) if config.scale_embeddings else 1.0,
            tied=config.tied_embeddings,
            output_bias=config.output_bias,
            dropout=config.dropout,
        )
        self.target_places = Places(_positions(config), _embedding_norm(config)) if config.places == "own" else None
        self.encoder = plain_layers(EncoderLayer, config, config.encoder_layers)
        self.encoder_norm = final_norm(config)
        self.decoder = plain_layers(DecoderLayer, config, config.decoder_layers, cross=True)
        self.decoder_norm = final_norm(config)
        reset_xavier(self, self.embedding)

    def new_state(self, size: StateSize) -> KeyValueCache:
        shape = CacheShape(
            layers=len(self.decoder), heads=self.config.heads, head_width=self.config.head_width, cross=True
        )
        return KeyValueCache.allocate(shape, size)

    def forward(self, batch: Seq2SeqBatch) -> Tensor:
        """Logits [B, T, V] of the next target token at each position."""
        return self.logits(self.hidden(batch))

    def hidden(self, batch: Seq2SeqBatch) -> Tensor:
        """[B, T, C]: what `logits` projects; training projects only the positions that count."""
        memory_BSC, mask = self.encode(batch.source_BS, batch.source_lengths_B)
        x_BTC = self.embedding.sequence(batch.target_BT, self.target_places)
        for layer in self.decoder:
            x_BTC = layer(x_BTC, (*layer.project_memory(memory_BSC), mask))
        return self.decoder_norm(x_BTC)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.embedding.logits(hidden)

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's output [B, S, C] and its padding mask [B, 1, 1, S]."""
        mask = padding_mask(lengths_B, source_BS.shape[1])
        x_BSC = self.embedding.sequence(source_BS)
        for layer in self.encoder:
            x_BSC = layer(x_BSC, mask)
        return self.encoder_norm(x_BSC), mask

    def alignment(self, batch: Seq2SeqBatch, layer: int) -> Tensor:
        """[B, T, S]: how much decoder layer `layer` (from 0) looks at each source token when it predicts what comes
        after each target position, as the mean of its heads. A row sums to 1."""
        memory_BSC, mask = self.encode(batch.source_BS, batch.source_lengths_B)
        x_BTC = self.embedding.sequence(batch.target_BT, self.target_places)
        for index, each in enumerate(self.decoder):
            memory = (*each.project_memory(memory_BSC), mask)
            if index == layer:
                return each.alignment(x_BTC, memory)
            x_BTC = each(x_BTC, memory)
        raise IndexError(f"layer is {layer}, there are {len(self.decoder)} decoder layers")

    def prefill(
        self, prompts: Prompts, slots_B: Tensor, cache: KeyValueCache, memories_B: Tensor | None = None
    ) -> Tensor:
        """Encode the source, project its keys and values once, run the start token and the prefix."""
        memories_B = slots_B if memories_B is None else memories_B
        memory_BSC, mask = self.encode(prompts.tokens_BS, prompts.lengths_B)
        cache.write_memory_lengths(memories_B, prompts.lengths_B)
        target_BT = torch.full_like(slots_B, self.config.start_id)[:, None]
        if prompts.prefix_BT is not None:
            target_BT = torch.cat([target_BT, prompts.prefix_BT], dim=1)
        x_BTC = self.embedding.sequence(target_BT, self.target_places)
        for index, layer in enumerate(self.decoder):
            k, v = layer.project_memory(memory_BSC)
            cache.write_memory(index, memories_B, k, v)
            x_BTC = layer.prefill(x_BTC, index, slots_B, cache, (k, v, mask))
        if prompts.prefix_lengths_B is not None:
            x_BTC = last_tokens(x_BTC, prompts.prefix_lengths_B + 1)
        return self.logits(self.decoder_norm(x_BTC[:, -1]))

    def decode(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        """One target token a row. The start token has position 0, the first output 1."""
        mask, memory_mask = cache.step_mask(positions_B), cache.memory_mask()
        x_BC = self.embedding(tokens_B, positions_B, self.target_places)
        for index, layer in enumerate(self.decoder):
            memory: Memory = (cache.memory_keys[index], cache.memory_values[index], memory_mask)
            x_BC = layer.decode(x_BC, index, positions_B, mask, cache, memory)
        return self.logits(self.decoder_norm(x_BC))


def _positions(config: Seq2SeqConfig) -> PositionVectors:
    longest = max(config.max_source, config.max_target)
    return position_vectors(config.positions, longest, config.width, config.pad_id)


def _embedding_norm(config: Seq2SeqConfig) -> nn.Module | None:
    return layer_norm(config) if config.embedding_norm else None
