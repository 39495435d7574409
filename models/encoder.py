"""What every encoder-only model does: a text or a pair is read at once, and heads say something of it.

To the engine it is a generator whose vocabulary is its label set and which ends after one output: a slot holds nothing.
Shapes: B rows, S tokens, C width, V vocabulary, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from models.cache import CacheShape, KeyValueCache
from models.config import EncoderConfig
from models.interface import Prompts, StateSize
from models.layers import PositionVectors, TokenEmbedding, padding_mask, pooler_activation
from models.native.attention import Columns, computes
from models.packing import Packed, Pieces, Reading


def segmented_embedding(config: EncoderConfig, width: int, positions: PositionVectors | None) -> TokenEmbedding:
    """Of tokens, whose vectors those of segments are added to; `positions` is None where attention knows them."""
    return TokenEmbedding(
        config.vocab_size,
        width,
        pad_id=config.pad_id,
        positions=positions,
        serves_logits=False,
        dropout=config.dropout,
    )


class MaskedWordHead(nn.Module):
    """Transform, then project onto the token embeddings (tied) plus a bias."""

    def __init__(self, vocab_size: int, width: int, activation: Callable[[Tensor], Tensor], norm: nn.Module) -> None:
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.activation = activation
        self.norm = norm
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor, embedding: TokenEmbedding) -> Tensor:
        return embedding.logits(self.norm(self.activation(self.transform(hidden)))) + self.bias


class Encoder(nn.Module):
    """An embedding, layers and norms, which an architecture gives it, and the heads that its config asks for."""

    packs = True  # its layers read packed tokens, too
    HEAD = ("pooler.", "classifier.")  # what begins anew with every task: names of weights begin so

    # Those that `EncoderConfig.outputs` has.
    pooler: nn.Linear
    classifier: nn.Linear
    masked_word_head: MaskedWordHead
    next_sentence_head: nn.Linear

    def __init__(
        self,
        config: EncoderConfig,
        *,
        embedding: TokenEmbedding,
        embedding_norm: nn.Module,
        widening: nn.Module,
        layers: nn.ModuleList,
        norm: nn.Module,
        masked_words: Callable[[], MaskedWordHead],
    ) -> None:
        """`widening` makes vectors of the model's width of those of the embedding, `norm` comes after the layers;
        `masked_words` makes the head for them."""
        super().__init__()
        self.config = config
        self.embedding = embedding
        self.segment = nn.Embedding(config.segments, embedding.token.embedding_dim)
        self.embedding_norm = embedding_norm
        self.widening = widening
        self.layers = layers
        self.norm = norm
        self.dropout = nn.Dropout(config.dropout)
        if config.outputs != "none":
            self.pooler = nn.Linear(config.width, config.width)
            self.pooler_activation = pooler_activation(config.pooler_activation)
            self.classifier = nn.Linear(config.width, config.labels)
        if config.outputs == "all":
            self.masked_word_head = masked_words()
            self.next_sentence_head = nn.Linear(config.width, 2)
        self._frozen = False

    def freeze_encoder(self) -> None:
        """From now on only the pooler and the label projection are trained, on features without dropout."""
        self._frozen = True
        for name, parameter in self.named_parameters():
            parameter.requires_grad = name.startswith(self.HEAD)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self._frozen:
            for name, part in self.named_children():
                if not f"{name}.".startswith((*self.HEAD, "dropout.")):
                    part.eval()
        return self

    def new_state(self, size: StateSize) -> KeyValueCache:
        shape = CacheShape(layers=0, heads=1, head_width=1)
        return KeyValueCache.allocate(shape, size)

    def forward(self, batch: Prompts) -> Tensor:
        """Logits [B, L] over the labels."""
        return self.classifier(self.dropout(self.pool(self.hidden(batch))))

    def hidden(self, batch: Prompts) -> Tensor:
        """[B, S, C]: the encoder's output; what it is at padding means nothing."""
        if self.packs and computes(self.segment.weight):
            anywhere_B = torch.zeros_like(batch.lengths_B)
            packed = self._packed(Pieces.of(batch, anywhere_B, anywhere_B))
            return packed.padded(self._hidden_packed(packed), batch.tokens_BS.shape[1])
        segments_BS = torch.zeros_like(batch.tokens_BS) if batch.segments_BS is None else batch.segments_BS
        x_BSC = self.embedded(self.embedding.sequence(batch.tokens_BS) + self.segment(segments_BS))
        return self.norm(self.through(x_BSC, padding_mask(batch.lengths_B, batch.tokens_BS.shape[1])))

    def prepared(self, pieces: Pieces, cache: KeyValueCache) -> Reading:
        return Reading(source=self._packed(pieces))

    @staticmethod
    def _packed(pieces: Pieces) -> Packed:
        return Packed.of(pieces.tokens, segments=pieces.segments)

    def read(self, reading: Reading, cache: KeyValueCache) -> Tensor:
        """Logits [B, L] of packed texts."""
        assert reading.source is not None, "there is nothing else to read"
        hidden_TC = self._hidden_packed(reading.source)
        first_BC = hidden_TC.index_select(0, reading.source.starts_B)
        return self.classifier(self.dropout(self.pool(first_BC[:, None])))

    def _hidden_packed(self, packed: Packed) -> Tensor:
        x_TC = self.embedding(packed.tokens_T, packed.positions_T) + self.segment(packed.segments_T)
        return self.norm(self.through(self.embedded(x_TC), packed.neighbours))

    def embedded(self, x: Tensor) -> Tensor:
        """What the first layer reads, of the vectors of tokens, their places and segments."""
        return self.widening(self.embedding_norm(x))

    def through(self, x_BSC: Tensor, mask: Tensor | Columns) -> Tensor:
        """Through all layers; the mask is that of `models.layers.padding_mask`, or packed tokens' neighbours."""
        for layer in self.layers:
            x_BSC = layer(x_BSC, mask)
        return x_BSC

    def pool(self, hidden_BSC: Tensor) -> Tensor:
        """[B, C]: the first token, through a dense layer and its activation."""
        return self.pooler_activation(self.pooler(hidden_BSC[:, 0]))

    def masked_words(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of the words at the given hidden vectors [..., C]."""
        return self.masked_word_head(hidden, self.embedding)

    def next_sentence(self, hidden_BSC: Tensor) -> Tensor:
        """Logits [B, 2]: the second text follows the first, or does not."""
        return self.next_sentence_head(self.pool(hidden_BSC))

    def prefill(
        self, prompts: Prompts, slots_B: Tensor, cache: KeyValueCache, memories_B: Tensor | None = None
    ) -> Tensor:
        """The whole answer: logits [B, L]; nothing is kept in the slots."""
        return self(prompts)

    def decode(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        raise AssertionError("a classifier ends after its first output: decode is never called")
