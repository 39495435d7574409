"""DeBERTa (He et al. 2021, "DeBERTa: Decoding-enhanced BERT with Disentangled Attention"): an encoder-only Transformer
whose attention adds to what two tokens say of each other what each says of the distance between them. Distances lie in
a table that all layers share, far ones in buckets that grow with their logarithm, as in its second version.

Shapes: B rows, S tokens, C width, H heads, D head width, R rows of the table, P distances of a batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self, cast, get_args

import torch
from torch import Tensor, nn

from models.attention import SelfAttention
from models.config import (
    Activation,
    ConfigError,
    EncoderConfig,
    Norm,
    Outputs,
    PoolerActivation,
    TransformerConfig,
    rare,
)
from models.encoder import Encoder, MaskedWordHead, segmented_embedding
from models.layers import FeedForward, Layer, Stack, activation, reset_normal
from models.native.attention import Columns
from models.parts import Blocks, Part
from models.transformer import final_norm, layer_norm, position_vectors

# On the CPU attention is computed for so many pairs of tokens at a time: their products stay near the caches.
PAIRS_AT_A_TIME = 512 * 512
Relation = Literal["content_to_position", "position_to_content"]


@dataclass(frozen=True, kw_only=True)
class DebertaConfig(TransformerConfig, EncoderConfig):
    """Encoder-only Transformer with disentangled attention (He et al. 2021, "DeBERTa")."""

    architecture: ClassVar[str] = "deberta"
    noun: ClassVar[str] = "an encoder-only Transformer with disentangled attention"

    layers: int
    labels: int = 2
    max_positions: int = 512
    segments: int = 2
    embedding_width: int | None = rare(None)
    relations: tuple[Relation, ...] = ("content_to_position", "position_to_content")  # beside content to content
    distances: int = 256  # rows of the table, in either direction
    reach: int | None = 512  # distances from half of the rows on share rows, as far as this; None: each has its own
    shared_projections: bool = True  # of content and of distances
    table_norm: bool = True
    positions: bool = False  # vectors of these are added to those of tokens
    pooler_activation: PoolerActivation = "gelu"
    outputs: Outputs = rare("all")  # noqa: RUF009  # a field
    norm: Norm = "post"
    norm_epsilon: float = 1e-7
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := [each for each in self.relations if each not in get_args(Relation)]:
            raise ConfigError(f"relations has {unknown[0]!r}, expected some of {', '.join(get_args(Relation))}")
        if self.reach is not None and not self.reach > self.distances // 2 + 1 > 1:
            raise ConfigError(f"reach is {self.reach}, expected more than half of distances {self.distances}, and one")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        given = values.get("relations")
        return super().from_dict({**values, "relations": tuple(given)} if isinstance(given, list) else values)


def table_rows(config: DebertaConfig) -> Tensor:
    """[2 * max_positions + 1] int64: the row of each distance, of a query's place from a key's, from the least on."""
    distances = torch.arange(-config.max_positions, config.max_positions + 1)
    if config.reach is not None:
        exact = config.distances // 2
        spread = torch.log(distances.abs() / exact) / torch.log(torch.tensor((config.reach - 1) / exact))
        far = distances.sign() * (exact + torch.ceil(spread * (exact - 1)))
        distances = torch.where(distances.abs() <= exact, distances, far).long()
    return (distances + config.distances).clamp(0, 2 * config.distances - 1)


class Distances(NamedTuple):
    """What attention in a batch needs to know of them; the same in all layers."""

    mask_1B1S: Tensor  # added to scores: 0 on a row's own tokens, -inf on padding
    behind_P: Tensor  # the table's row of each distance from S down to 1 - S
    ahead_P: Tensor  # and from -S up to S - 1
    table_RC: Tensor | None  # None: the layers know what follows from it


class DistanceTable(nn.Module):
    def __init__(self, config: DebertaConfig) -> None:
        super().__init__()
        self.vectors = nn.Embedding(2 * config.distances, config.width)
        self.norm = layer_norm(config) if config.table_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.rows: Tensor
        self.register_buffer("rows", table_rows(config), persistent=False)

    def forward(self) -> Tensor:
        """[R, C]."""
        return self.dropout(self.norm(self.vectors.weight))

    def between(self, mask_B11S: Tensor, dtype: torch.dtype, table_RC: Tensor | None) -> Distances:
        """Of the tokens of a batch; the mask is True on a row's own."""
        tokens, zero = mask_B11S.shape[3], len(self.rows) // 2
        blocked = torch.zeros(mask_B11S.shape, dtype=dtype, device=mask_B11S.device)
        return Distances(
            blocked.masked_fill_(~mask_B11S, -math.inf).transpose(0, 1),
            self.rows[zero + 1 - tokens : zero + 1 + tokens].flip(0),
            self.rows[zero - tokens : zero + tokens],
            table_RC,
        )


class DisentangledAttention(SelfAttention):
    """Scores are (content to content + content to position + position to content) / sqrt(head width * so many)."""

    def __init__(self, config: DebertaConfig) -> None:
        scale = 1 / math.sqrt(config.head_width * (1 + len(config.relations)))
        super().__init__(config.width, config.heads, dropout=config.dropout, scale=scale)
        self.relations, self.shared = config.relations, config.shared_projections
        own = () if config.shared_projections else config.relations
        self.position_key = nn.Linear(config.width, config.width) if "content_to_position" in own else None
        self.position_query = nn.Linear(config.width, config.width) if "position_to_content" in own else None
        self.settled: Tensor | None
        self.register_buffer("settled", None, persistent=False)

    def projections(self) -> dict[str, Blocks]:
        own: dict[str, Blocks] = {"position_key": (("key", self.width),), "position_query": (("query", self.width),)}
        return {**super().projections(), **{name: of for name, of in own.items() if getattr(self, name) is not None}}

    def related(self, table_RC: Tensor) -> Tensor:
        """[relations, H, R, D]: the table as keys, queries or both, times the scale of scores."""
        if not self.relations:
            return table_RC.new_empty(0)
        if self.shared:
            query_RC, key_RC, _ = self.qkv(table_RC).chunk(3, dim=1)
        found = []
        for relation in self.relations:
            if relation == "content_to_position":
                found.append(key_RC if self.position_key is None else self.position_key(table_RC))
            else:
                found.append(query_RC if self.position_query is None else self.position_query(table_RC))
        return (torch.stack(found) * self.scale).unflatten(2, (self.heads, self.head_width)).transpose(1, 2)

    def disentangled(self, x_BSC: Tensor, distances: Distances) -> Tensor:
        """`forward`, with what queries and keys say of the distances between them."""
        qkv = self._project(x_BSC)
        related = self.related(cast(Tensor, distances.table_RC)) if self.settled is None else self.settled
        by_distance = [
            each_HRD[:, distances.behind_P if relation == "content_to_position" else distances.ahead_P]
            for relation, each_HRD in zip(self.relations, related, strict=True)
        ]
        rows = len(x_BSC)
        if x_BSC.device.type == "cpu" and not torch.is_grad_enabled():
            rows = max(PAIRS_AT_A_TIME // x_BSC.shape[1] ** 2, 1)
        some = zip(*(each.split(rows) for each in qkv), distances.mask_1B1S.split(rows, dim=1), strict=True)
        return torch.cat([self._attend(q, k, v, self._scores(q, k, mask, by_distance)) for q, k, v, mask in some])

    def _scores(self, q_BHSD: Tensor, k_BHSD: Tensor, mask_1B1S: Tensor, by_distance: Sequence[Tensor]) -> Tensor:
        """[B, H, S, S], to which attention adds those of content to content."""
        scores_HBSS = mask_1B1S
        for relation, each_HPD in zip(self.relations, by_distance, strict=True):
            if relation == "content_to_position":
                scores_HBSS = scores_HBSS + by_place(q_BHSD, each_HPD)
            else:
                scores_HBSS = scores_HBSS + by_place(k_BHSD, each_HPD).transpose(2, 3)
        return scores_HBSS.transpose(0, 1)


def by_place(x_BHSD: Tensor, distances_HPD: Tensor) -> Tensor:
    """[H, B, S, S]: each token's products with its distances to all others.

    P = 2 S: a token has products with more distances than it needs, in one order for all tokens. In a matrix of these,
    what belongs to the next token begins a column earlier: read as rows that are a column shorter, it is in its place
    (Huang et al. 2019, "Music Transformer").
    """
    batch, heads, tokens, _ = x_BHSD.shape
    x_HND = x_BHSD.transpose(0, 1).flatten(1, 2)
    products_HBE = torch.bmm(x_HND, distances_HPD.transpose(1, 2)).view(heads, batch, -1)
    return products_HBE[:, :, tokens:].unflatten(2, (tokens, 2 * tokens - 1))[..., :tokens]


class DisentangledLayer(Layer):
    self_attention: DisentangledAttention

    def forward(self, x_BSC: Tensor, distances: Distances) -> Tensor:
        norm = self.self_norm
        out_BSC = self.self_attention.disentangled(self._enter(x_BSC, norm), distances)
        return self._feed_forward(self._leave(x_BSC, out_BSC, norm))


class Deberta(Encoder, Part):
    packs = False
    config: DebertaConfig
    layers: Stack[DisentangledLayer]

    def __init__(self, config: DebertaConfig) -> None:
        width = config.embedding_width or config.width
        super().__init__(
            config,
            embedding=segmented_embedding(
                config, width, position_vectors("learned", config.max_positions, width) if config.positions else None
            ),
            embedding_norm=layer_norm(config),
            widening=nn.Identity() if width == config.width else nn.Linear(width, config.width, bias=False),
            layers=Stack(_layer(config) for _ in range(config.layers)),
            norm=final_norm(config),
            masked_words=lambda: MaskedWordHead(
                config.vocab_size, config.width, activation(config.activation), layer_norm(config)
            ),
        )
        self.table = DistanceTable(config)
        reset_normal(self)

    @torch.no_grad()
    def settle(self) -> None:
        """In float32, whatever the format of the weights."""
        table_RC = copy.deepcopy(self.table).float().eval()()
        for layer in self.layers:
            layer.self_attention.settled = copy.deepcopy(layer.self_attention).float().related(table_RC)

    def embedded(self, x: Tensor) -> Tensor:
        return self.embedding_norm(self.widening(x))

    def through(self, x_BSC: Tensor, mask: Tensor | Columns) -> Tensor:
        assert isinstance(mask, Tensor), "distances are of padded rows"
        settled = next(iter(self.layers)).self_attention.settled is not None
        distances = self.table.between(mask, x_BSC.dtype, None if settled else self.table())
        for layer in self.layers:
            x_BSC = layer(x_BSC, distances)
        return x_BSC


def _layer(config: DebertaConfig) -> DisentangledLayer:
    return DisentangledLayer(
        self_attention=DisentangledAttention(config),
        feedforward=FeedForward(config.width, config.feedforward, activation(config.activation)),
        norm=lambda: layer_norm(config),
        norm_first=config.norm == "pre",
        dropout=config.dropout,
    )
