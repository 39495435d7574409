"""Several translators that answer as one: each next token's probability is the mean of theirs.

A model as any other to whoever runs it: the members share a key/value cache, in which each has layers of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from models.cache import CacheShape, KeyValueCache
from models.checkpoint import Checkpoint
from models.config import ConfigError, Seq2SeqConfig
from models.interface import Prompts, Seq2SeqBatch, StateSize
from models.seq2seq import Seq2Seq

# What members have in common: the rest of their sizes is their own affair.
_ALIKE = ("vocab_size", "heads", "head_width", "max_source", "max_target", "start_id", "end_id", "pad_id")


class Ensemble(nn.Module):
    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        """Raises ConfigError where their keys and values, lengths or vocabularies differ."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self._members = tuple(members)
        configs = [member.config for member in members]
        first = configs[0]
        for config in configs:
            for name in _ALIKE:
                one, other = getattr(first, name), getattr(config, name)
                if one != other:
                    raise ConfigError(f"the models of an ensemble differ in {name}: {one} and {other}")
        self._ends = [0, *accumulate(config.decoder_layers for config in configs)]
        self.config: Seq2SeqConfig = replace(first, decoder_layers=self._ends[-1])

    def new_state(self, size: StateSize) -> KeyValueCache:
        """The members' caches lie one behind the other, as layers of one."""
        heads, head_width = self.config.heads, self.config.head_width
        return KeyValueCache.allocate(
            CacheShape(layers=self._ends[-1], heads=heads, head_width=head_width, cross=True), size
        )

    def forward(self, batch: Seq2SeqBatch) -> Tensor:
        """Log-probabilities [B, T, V], and so of the other verbs."""
        return _mean([member(batch) for member in self._members])

    def prefill(
        self, prompts: Prompts, slots_B: Tensor, cache: KeyValueCache, memories_B: Tensor | None = None
    ) -> Tensor:
        return self._each(cache, lambda member, part: member.prefill(prompts, slots_B, part, memories_B))

    def decode(self, tokens_B: Tensor, positions_B: Tensor, cache: KeyValueCache) -> Tensor:
        return self._each(cache, lambda member, part: member.decode(tokens_B, positions_B, part))

    def _each(self, cache: KeyValueCache, answer: Callable[[Seq2Seq, KeyValueCache], Tensor]) -> Tensor:
        parts = (cache.layers(start, end) for start, end in pairwise(self._ends))
        return _mean([answer(member, part) for member, part in zip(self._members, parts, strict=True)])


def _mean(logits: Sequence[Tensor]) -> Tensor:
    """Log of the mean probability."""
    log_probabilities = torch.stack([each.float().log_softmax(dim=-1) for each in logits])
    return log_probabilities.logsumexp(dim=0) - math.log(len(logits))


def together(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """One checkpoint of several translators; of one, that one. Its name and directions are the first one's.

    Raises ConfigError where they cannot answer as one.
    """
    first = checkpoints[0]
    if len(checkpoints) == 1:
        return first
    for other in checkpoints[1:]:
        if not isinstance(other.model, Seq2Seq) or not isinstance(first.model, Seq2Seq):
            raise ConfigError(
                f"an ensemble is of translators of the architecture seq2seq, not of {other.manifest.name}"
            )
        if other.tokenizer.definition != first.tokenizer.definition:
            raise ConfigError(f"{first.manifest.name} and {other.manifest.name} have different vocabularies")
    ensemble = Ensemble([checkpoint.model for checkpoint in checkpoints])
    return replace(first, config=ensemble.config, model=ensemble)
