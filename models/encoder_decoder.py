"""What every encoder-decoder Transformer does: how a source is read, at once, and a target written that looks at it.

A slot holds the self-attention keys and values of the target so far, the cross-attention keys and values of the source,
and the source's length. Shapes: B rows, S source tokens, T target tokens, C width, V vocabulary, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.cache import CacheShape, KeyValueCache
from models.config import EncoderDecoderConfig
from models.interface import Prompts, Seq2SeqBatch, StateSize
from models.layers import DecoderLayer, EncoderLayer, Memory, Places, Stack, TokenEmbedding, last_tokens, padding_mask
from models.native.attention import computes
from models.packing import Packed, Pieces, Reading
from models.relative import RelativeBias


class EncoderDecoder(nn.Module):
    """An embedding, and the layers and the norm of each side, which an architecture gives it."""

    def __init__(
        self,
        config: EncoderDecoderConfig,
        *,
        embedding: TokenEmbedding,
        target_places: Places | None = None,
        encoder: Stack[EncoderLayer],
        encoder_norm: nn.Module,
        decoder: Stack[DecoderLayer],
        decoder_norm: nn.Module,
        encoder_bias: RelativeBias | None = None,
        decoder_bias: RelativeBias | None = None,
    ) -> None:
        """`target_places`: others than the embedding's own; the biases are those of self-attention in all layers."""
        super().__init__()
        self.config = config
        self.embedding = embedding
        self.target_places = target_places
        self.encoder = encoder
        self.encoder_norm = encoder_norm
        self.decoder = decoder
        self.decoder_norm = decoder_norm
        self.encoder_bias = encoder_bias
        self.decoder_bias = decoder_bias
        self.packs = encoder_bias is None  # it reads packed prompts, too

    def new_state(self, size: StateSize) -> KeyValueCache:
        attention = next(iter(self.decoder)).self_attention
        shape = CacheShape(
            layers=len(self.decoder), heads=attention.kv_heads, head_width=attention.head_width, cross=True
        )
        return KeyValueCache.allocate(shape, size)

    def forward(self, batch: Seq2SeqBatch) -> Tensor:
        """Logits [B, T, V] of the next target token at each position."""
        return self.logits(self.hidden(batch))

    def hidden(self, batch: Seq2SeqBatch) -> Tensor:
        """[B, T, C]: what `logits` projects; training projects only the positions that count."""
        memory_BSC, mask = self.encode(batch.source_BS, batch.source_lengths_B)
        x_BTC = self.embedding.sequence(batch.target_BT, self.target_places)
        target_mask = self._target_mask(batch.target_BT)
        for layer in self.decoder:
            x_BTC = layer(x_BTC, (*layer.project_memory(memory_BSC), mask), target_mask)
        return self.decoder_norm(x_BTC)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.embedding.logits(hidden)

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's output [B, S, C] and its padding mask [B, 1, 1, S]."""
        mask = padding_mask(lengths_B, source_BS.shape[1])
        source_mask = mask if self.encoder_bias is None else self.encoder_bias(source_BS.shape[1], mask)
        x_BSC = self.embedding.sequence(source_BS)
        for layer in self.encoder:
            x_BSC = layer(x_BSC, source_mask)
        return self.encoder_norm(x_BSC), mask

    def alignment(self, batch: Seq2SeqBatch, layer: int) -> Tensor:
        """[B, T, S]: how much decoder layer `layer` (from 0) looks at each source token when it predicts what comes
        after each target position, as the mean of its heads. A row sums to 1."""
        memory_BSC, mask = self.encode(batch.source_BS, batch.source_lengths_B)
        x_BTC = self.embedding.sequence(batch.target_BT, self.target_places)
        target_mask = self._target_mask(batch.target_BT)
        for index, each in enumerate(self.decoder):
            memory = (*each.project_memory(memory_BSC), mask)
            if index == layer:
                return each.alignment(x_BTC, memory, target_mask)
            x_BTC = each(x_BTC, memory, target_mask)
        raise IndexError(f"layer is {layer}, there are {len(self.decoder)} decoder layers")

    def prefill(
        self, prompts: Prompts, slots_B: Tensor, cache: KeyValueCache, memories_B: Tensor | None = None
    ) -> Tensor:
        """Encode the source, project its keys and values once, run the start token and the prefix."""
        memories_B = slots_B if memories_B is None else memories_B
        if self.packs and computes(cache.slots_kv):
            return self.read(self.prepared(Pieces.of(prompts, slots_B, memories_B), cache), cache)
        memory_BSC, mask = self.encode(prompts.tokens_BS, prompts.lengths_B)
        cache.write_memory_lengths(memories_B, prompts.lengths_B)
        target_BT = torch.full_like(slots_B, self.config.start_id)[:, None]
        if prompts.prefix_BT is not None:
            target_BT = torch.cat([target_BT, prompts.prefix_BT], dim=1)
        x_BTC = self.embedding.sequence(target_BT, self.target_places)
        target_mask = self._target_mask(target_BT)
        for index, layer in enumerate(self.decoder):
            k, v = layer.project_memory(memory_BSC)
            cache.write_memory(index, memories_B, k, v)
            x_BTC = layer.prefill(x_BTC, index, slots_B, cache, (k, v, mask), target_mask)
        if prompts.prefix_lengths_B is not None:
            x_BTC = last_tokens(x_BTC, prompts.prefix_lengths_B + 1)
        return self.logits(self.decoder_norm(x_BTC[:, -1]))

    def decode(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        """One target token a row. The start token has position 0, the first output 1."""
        return self.logits(self.decoded(tokens_B, positions_B, cache))

    def decoded(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        """[B, C]: what `logits` projects in a step."""
        return self.decoder_norm(self._advance(tokens_B, positions_B, cache))

    def _advance(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        bias = None if self.decoder_bias is None else self.decoder_bias.step(positions_B + 1, cache.length + 1)
        mask, memory_mask = cache.step_mask(positions_B, bias), cache.memory_mask()
        x_BC = self.embedding(tokens_B, positions_B, self.target_places)
        for index, layer in enumerate(self.decoder):
            memory: Memory = (cache.memory_keys[index], cache.memory_values[index], memory_mask)
            x_BC = layer.decode(x_BC, index, positions_B, mask, cache, memory)
        return x_BC

    def prepared(self, pieces: Pieces, cache: KeyValueCache) -> Reading:
        cache.memory_lengths.numpy()[pieces.memories] = [len(tokens) for tokens in pieces.tokens]
        prefixes = pieces.prefixes or [[]] * len(pieces.tokens)
        target = [[self.config.start_id, *prefix] for prefix in prefixes]
        return Reading(
            source=Packed.of(pieces.tokens, memories=pieces.memories),
            target=Packed.of(target, slots=pieces.slots, memories=pieces.memories),
        )

    def read(self, reading: Reading, cache: KeyValueCache) -> Tensor:
        """Without padding: the sources one behind another, and all target tokens as those of one decode step."""
        assert reading.source is not None and reading.target is not None, "it reads both"  # noqa: PT018
        source, target = reading.source, reading.target
        x_TC = self.embedding(source.tokens_T, source.positions_T)
        for each in self.encoder:
            x_TC = each(x_TC, source.neighbours)
        memory_TC = self.encoder_norm(x_TC)
        for index, layer in enumerate(self.decoder):
            kv_T2HD = layer.project_tokens(memory_TC)
            cache.write_memory_tokens(index, source.memories_T, source.positions_T, kv_T2HD)
        x_TC = self._advance(target.tokens_T, target.positions_T, cache.at(target.slots_T, target.memories_T))
        return self.logits(self.decoder_norm(x_TC.index_select(0, target.ends_B)))

    def _target_mask(self, target_BT: Tensor) -> Tensor | None:
        """[1, H, T, T]; None where attention is causal and nothing else."""
        if self.decoder_bias is None:
            return None
        length = target_BT.shape[1]
        return self.decoder_bias(length, torch.ones(length, length, dtype=torch.bool, device=target_BT.device).tril())
