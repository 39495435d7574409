"""The classifier: an encoder-only Transformer (Devlin et al. 2019, BERT) with its pre-training heads.

To the engine it is a generator whose vocabulary is its label set and which ends after one output: a slot holds nothing.
Shapes: B rows, S tokens, C width, V vocabulary, L labels.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from models.cache import CacheShape, KeyValueCache
from models.config import BertConfig
from models.interface import Prompts, StateSize
from models.layers import EncoderLayer, TokenEmbedding, activation, padding_mask, pooler_activation, reset_normal
from models.transformer import final_norm, layer_norm, plain_layers, position_vectors


class MaskedWordHead(nn.Module):
    """Transform, then project onto the token embeddings (tied) plus a bias."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = nn.Linear(config.width, config.width)
        self.activation = activation(config.activation)
        self.norm = layer_norm(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, embedding: TokenEmbedding) -> Tensor:
        return embedding.logits(self.norm(self.activation(self.transform(hidden)))) + self.bias


class Bert(nn.Module):
    HEAD = ("pooler.", "classifier.")  # what begins anew with every task: names of weights begin so

    # Those that `BertConfig.outputs` has.
    pooler: nn.Linear
    classifier: nn.Linear
    masked_word_head: MaskedWordHead
    next_sentence_head: nn.Linear

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embedding_width or config.width
        self.embedding = TokenEmbedding(
            config.vocab_size,
            width,
            pad_id=config.pad_id,
            positions=position_vectors("learned", config.max_positions, width),
            serves_logits=False,
            dropout=config.dropout,
        )
        self.segment = nn.Embedding(config.segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=config.norm_epsilon)
        self.widening = nn.Identity() if width == config.width else nn.Linear(width, config.width)
        self.layers = plain_layers(EncoderLayer, config, config.layers)
        self.norm = final_norm(config)
        self.dropout = nn.Dropout(config.dropout)
        if config.outputs != "none":
            self.pooler = nn.Linear(config.width, config.width)
            self.pooler_activation = pooler_activation(config.pooler_activation)
            self.classifier = nn.Linear(config.width, config.labels)
        if config.outputs == "all":
            self.masked_word_head = MaskedWordHead(config)
            self.next_sentence_head = nn.Linear(config.width, 2)
        self._frozen = False
        reset_normal(self)

    def freeze_encoder(self) -> None:
        """From now on only the pooler and the label projection are trained, on features without dropout."""
        self._frozen = True
        for name, parameter in self.named_parameters():
            parameter.requires_grad = name.startswith(self.HEAD)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self._frozen:
            for part in (self.embedding, self.segment, self.embedding_norm, self.widening, self.layers, self.norm):
                part.eval()
        return self

    def new_state(self, size: StateSize) -> KeyValueCache:
        shape = CacheShape(layers=0, heads=1, head_width=1)
        return KeyValueCache.allocate(shape, size)

    def forward(self, batch: Prompts) -> Tensor:
        """Logits [B, L] over the labels."""
        return self.classifier(self.dropout(self.pool(self.hidden(batch))))

    def hidden(self, batch: Prompts) -> Tensor:
        """[B, S, C]: the encoder's output."""
        segments_BS = torch.zeros_like(batch.tokens_BS) if batch.segments_BS is None else batch.segments_BS
        embedded_BSC = self.embedding.sequence(batch.tokens_BS) + self.segment(segments_BS)
        x_BSC = self.widening(self.embedding_norm(embedded_BSC))
        mask = padding_mask(batch.lengths_B, batch.tokens_BS.shape[1])
        for layer in self.layers:
            x_BSC = layer(x_BSC, mask)
        return self.norm(x_BSC)

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
