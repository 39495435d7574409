"""What every decoder-only model does: how a text is read, in one pass or in pieces, and gone on with.

A slot holds the self-attention keys and values of prompt and continuation. Shapes: B rows, T tokens, C width,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from models.cache import CacheShape, Extension, KeyValueCache
from models.config import DecoderConfig
from models.interface import CausalBatch, Prompts, StateSize
from models.layers import DecoderLayer, PositionVectors, Stack, TokenEmbedding, last_tokens
from models.native.attention import computes
from models.packing import Packed, Pieces, Reading


def token_embedding(
    config: DecoderConfig, positions: PositionVectors | None, scale: float | Tensor = 1.0
) -> TokenEmbedding:
    """`positions` is None where attention knows them."""
    return TokenEmbedding(
        config.vocab_size,
        config.width,
        pad_id=config.pad_id,
        positions=positions,
        scale=scale,
        tied=config.tied_embeddings,
        dropout=config.dropout,
    )


class Decoder(nn.Module):
    """An embedding, layers and a norm, which an architecture gives it."""

    packs = True  # it reads packed prompts, too

    def __init__(
        self, config: DecoderConfig, *, embedding: TokenEmbedding, layers: Iterable[DecoderLayer], norm: nn.Module
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = embedding
        self.layers: Stack[DecoderLayer] = Stack(layers)
        self.norm = norm

    def new_state(self, size: StateSize) -> KeyValueCache:
        attention = next(iter(self.layers)).self_attention
        shape = CacheShape(layers=len(self.layers), heads=attention.kv_heads, head_width=attention.head_width)
        return KeyValueCache.allocate(shape, size)

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
        """One causal pass over the prompts, or over a piece of each that goes on where the slot's last one ended."""
        if computes(cache.slots_kv):
            return self.read(self.prepared(Pieces.of(prompts, slots_B, slots_B), cache), cache)
        if prompts.starts_B is None:
            x_BTC = self.embedding.sequence(prompts.tokens_BS)
            for index, layer in enumerate(self.layers):  # padding comes after every real token: none attends to it
                x_BTC = layer.prefill(x_BTC, index, slots_B, cache)
        else:
            extension = Extension.of(slots_B, prompts.starts_B, prompts.lengths_B, prompts.tokens_BS.shape[1])
            x_BTC = self.embedding(prompts.tokens_BS, extension.positions_BT)
            for index, layer in enumerate(self.layers):
                x_BTC = layer.extend(x_BTC, index, extension, cache)
        return self.logits(self.norm(last_tokens(x_BTC, prompts.lengths_B)[:, 0]))

    def decode(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        """One token a row, at its position counted from the start of the prompt."""
        return self.logits(self.norm(self._advance(tokens_B, positions_B, cache)))

    def _advance(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        mask = cache.step_mask(positions_B)
        x_BC = self.embedding(tokens_B, positions_B)
        for index, layer in enumerate(self.layers):
            x_BC = layer.decode(x_BC, index, positions_B, mask, cache)
        return x_BC

    def prepared(self, pieces: Pieces, cache: KeyValueCache) -> Reading:
        return Reading(target=Packed.of(pieces.tokens, slots=pieces.slots, starts=pieces.starts))

    def read(self, reading: Reading, cache: KeyValueCache) -> Tensor:
        """All tokens as those of one decode step: kernels see of each slot what lies before a token."""
        assert reading.target is not None, "there is nothing else to read"
        target = reading.target
        x_TC = self._advance(target.tokens_T, target.positions_T, cache.at(target.slots_T, target.slots_T))
        return self.logits(self.norm(x_TC.index_select(0, target.ends_B)))
