"""Multi-head and grouped-query attention: the only caller of `scaled_dot_product_attention`.

Sources: Vaswani et al. 2017 (multi-head), Ainslie et al. 2023 (grouped-query), Bello et al. 2017 (capped scores).
Shapes: B rows, T queries, S keys, C width, H query heads, G key/value heads, N heads of any kind, D head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cache import Extension, KeyValueCache
from models.config import ConfigError
from models.interface import Sharing
from models.native.attention import Columns, attend_columns, computes
from models.native.elementwise import applied
from models.native.instructions import Function
from models.packing import as_rows
from models.parts import Blocks, Part
from models.rotary import Rotary

Attend = Callable[..., Tensor]  # takes and gives what `attend` does
BFLOAT16_ROWS = 8  # fewer, and products of such matrices cost more than `scaled_dot_product_attention` in bfloat16


def softcapped(x: Tensor, cap: float) -> Tensor:
    """cap * tanh(x / cap), between -cap and cap. On the CPU torch's tanh takes four times as long as its sigmoid."""
    if computes(x) and (done := applied(Function.CAP, x, cap)) is not None:
        return done
    if x.device.type != "cpu" or x.dtype is not torch.float32 or torch.is_grad_enabled():
        return torch.tanh(x / cap) * cap
    return x.mul(2 / cap).sigmoid_().mul_(2 * cap).sub_(cap)


def attend(
    q_BHTD: Tensor,
    k_BGSD: Tensor,
    v_BGSD: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    cap: float | None = None,
    dropout: float = 0,
) -> Tensor:
    """[B, T, H * D]. `mask` broadcasts to [B, H, T, S]: bool, True where attention is allowed, or added to scores.
    These are the products of queries and keys times `scale`, 1 / sqrt(D) unless it is given, `softcapped` by a `cap`.
    """
    if cap is not None:
        return _attend_capped(q_BHTD, k_BGSD, v_BGSD, mask=mask, causal=causal, dropout=dropout, scale=scale, cap=cap)
    grouped = q_BHTD.shape[1] != k_BGSD.shape[1]
    out_BHTD = F.scaled_dot_product_attention(
        q_BHTD, k_BGSD, v_BGSD, attn_mask=mask, is_causal=causal, scale=scale, dropout_p=dropout, enable_gqa=grouped
    )
    return out_BHTD.transpose(1, 2).flatten(2)


def _attend_capped(
    q_BHTD: Tensor,
    k_BGSD: Tensor,
    v_BGSD: Tensor,
    *,
    mask: Tensor | None,
    causal: bool,
    dropout: float,
    scale: float | None,
    cap: float,
) -> Tensor:
    """`attend` written out, which has no caps itself. All queries of a key/value head are read as those of one."""
    heads, tokens, width = q_BHTD.shape[1:]
    groups = k_BGSD.shape[1]
    q_BGND = (q_BHTD * (1 / math.sqrt(width) if scale is None else scale)).reshape(len(q_BHTD), groups, -1, width)
    scores_BHTS = softcapped(q_BGND @ k_BGSD.transpose(2, 3), cap).unflatten(2, (-1, tokens)).flatten(1, 2)
    if causal:
        mask = torch.ones(scores_BHTS.shape[2:], dtype=torch.bool, device=q_BHTD.device).tril()
    if mask is not None:
        allowed = mask.dtype is torch.bool
        scores_BHTS = scores_BHTS.masked_fill(~mask, -math.inf) if allowed else scores_BHTS + mask
    weights_BHTS = scores_BHTS.softmax(dim=3)
    if dropout:
        weights_BHTS = F.dropout(weights_BHTS, dropout)
    out_BGND = weights_BHTS.unflatten(1, (groups, -1)).flatten(2, 3) @ v_BGSD
    return out_BGND.view(len(q_BHTD), heads, tokens, width).transpose(1, 2).flatten(2)


def attend_few(
    q_BHTD: Tensor,
    k_BGSD: Tensor,
    v_BGSD: Tensor,
    mask_BG1S: Tensor,
    *,
    scale: float | None = None,
    cap: float | None = None,
) -> Tensor:
    """[B, T, H * D] for the few queries of a decode step on the CPU; the mask is added to the scores. T or H / G is 1.

    For one query a row the products written out take two thirds of the time of `scaled_dot_product_attention`, and,
    unlike there, a row's numbers depend neither on how many rows there are nor on how many columns are masked.
    """
    rows, heads, _, width = q_BHTD.shape
    q_RTD = q_BHTD.reshape(rows * k_BGSD.shape[1], -1, width)
    alpha = 1 / math.sqrt(width) if scale is None else scale
    mask_R1S, k_RDS = mask_BG1S.flatten(0, 1), k_BGSD.flatten(0, 1).transpose(1, 2)
    if cap is None:
        scores_RTS = torch.baddbmm(mask_R1S, q_RTD, k_RDS, alpha=alpha)
    else:
        scores_RTS = softcapped(torch.bmm(q_RTD, k_RDS).mul_(alpha), cap).add_(mask_R1S)
    out_RTD = torch.bmm(scores_RTS.softmax(dim=2), v_BGSD.flatten(0, 1))
    return out_RTD.view(rows, heads, -1, width).transpose(1, 2).flatten(2)


class Attention(Part):
    """What self- and cross-attention share: head counts, dropout and the output projection."""

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        head_width: int | None,
        *,
        bias: bool,
        scale: float | None = None,
        cap: float | None = None,
        dropout: float,
    ) -> None:
        super().__init__()
        if (head_width is None and width % heads) or heads % kv_heads:
            raise ConfigError(
                f"heads {heads} must divide width {width}, and key/value heads {kv_heads} must divide heads"
            )
        self.width, self.dropout = width, dropout
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width or width // heads
        self.inner_width = heads * self.head_width  # of the queries of all heads
        self.kv_width = kv_heads * self.head_width  # of the keys of all heads, and of the values
        self.scale = 1 / math.sqrt(self.head_width) if scale is None else scale  # of scores
        self.cap = cap  # which these are softly below
        self.training_attend: Attend = attend  # what runs in training; may be replaced
        self.output = nn.Linear(self.inner_width, width, bias=bias)

    def _split(self, x_BTC: Tensor) -> Tensor:
        return x_BTC.unflatten(2, (self.heads, self.head_width)).transpose(1, 2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        if self.training:
            how = {"dropout": self.dropout, "scale": self.scale, "cap": self.cap}
            return self.output(self.training_attend(q, k, v, mask=mask, causal=causal, **how))
        return self.output(attend(q, k, v, mask=mask, causal=causal, scale=self.scale, cap=self.cap))

    def _attend_step(
        self, q_BHD: Tensor, k: Tensor, v: Tensor, mask: Tensor | Columns, sharing: Sharing | None = None
    ) -> Tensor:
        """[B, H * D], by what the cache has ready for the device. With `sharing`, the rows that read a memory row are
        its queries: no memory is copied for them."""
        if isinstance(mask, Columns):
            return attend_columns(q_BHD, k, v, mask, scale=self.scale, cap=self.cap)
        if sharing is None:
            return self._attend_masked(q_BHD.unsqueeze(2), k, v, mask).squeeze(1)
        q_MHKD = self._split(sharing.gather(q_BHD.flatten(1)))
        return sharing.scatter(self._attend_masked(q_MHKD, k, v, mask))

    def _attend_masked(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """[B, T, H * D]."""
        if not mask.is_cpu:
            return attend(q, k, v, mask=mask, scale=self.scale, cap=self.cap)
        if mask.dtype is torch.bfloat16 and q.shape[0] < BFLOAT16_ROWS:
            # Where heads share keys, nothing but a mask is in it, the same for all of them.
            mask = mask if self.heads == self.kv_heads else mask[:, :1]
            return attend(q, k, v, mask=mask, scale=self.scale, cap=self.cap)
        return attend_few(q, k, v, mask, scale=self.scale, cap=self.cap)


class SelfAttention(Attention):
    """Queries, keys and values from the same tokens, in one projection."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        head_width: int | None = None,
        bias: bool = True,
        output_bias: bool = True,
        rotary: Rotary | None = None,
        head_norm: Callable[[], nn.Module] | None = None,
        scale: float | None = None,
        cap: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        """`rotary` turns queries and keys by their positions, before these go into a cache, and norms that `head_norm`
        makes come before it. `head_width` is `width / heads` unless it is given; `attend` says what `scale` and `cap`
        are."""
        kv_heads = kv_heads or heads
        super().__init__(width, heads, kv_heads, head_width, bias=output_bias, dropout=dropout, scale=scale, cap=cap)
        self.qkv = nn.Linear(width, self.inner_width + 2 * self.kv_width, bias=bias)
        self.rotary = rotary
        self.query_norm = None if head_norm is None else head_norm()
        self.key_norm = None if head_norm is None else head_norm()

    def projections(self) -> Mapping[str, Blocks]:
        fused = (("query", self.inner_width), ("key", self.kv_width), ("value", self.kv_width))
        return {"qkv": fused, "output": (("output", self.width),)}

    def _project(self, x_BTC: Tensor, positions_BT: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """[B, H, T, D] and twice [B, G, T, D] of tokens at the given positions, or from position 0 on."""
        qkv_BTND = self.qkv(x_BTC).unflatten(2, (-1, self.head_width))
        qk_BTND, v = qkv_BTND.split([self.heads + self.kv_heads, self.kv_heads], dim=2)
        q, k = self._placed(qk_BTND, positions_BT).split([self.heads, self.kv_heads], dim=2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _placed(self, qk_ND: Tensor, positions: Tensor | None) -> Tensor:
        """[..., H + G, D]: queries and keys, normed and turned."""
        if self.query_norm is not None and self.key_norm is not None:
            q, k = qk_ND.split([self.heads, self.kv_heads], dim=-2)
            qk_ND = torch.cat([self.query_norm(q), self.key_norm(k)], dim=-2)
        return qk_ND if self.rotary is None else self.rotary(qk_ND, positions)

    def forward(self, x_BTC: Tensor, *, mask: Tensor | Columns | None = None, causal: bool = False) -> Tensor:
        """[B, T, C], or for packed tokens [T, C] with the columns that each attends to."""
        if isinstance(mask, Columns):
            return self._read(x_BTC, mask)
        q, k, v = self._project(x_BTC)
        return self._attend(q, k, v, mask, causal)

    def _read(self, x_TC: Tensor, columns: Columns) -> Tensor:
        assert self.rotary is None, "packed tokens have no positions here"
        qkv_TND = self.qkv(x_TC).view(x_TC.shape[0], -1, self.head_width)
        q_THD, k_TGD, v_TGD = qkv_TND.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        keys, values = as_rows(k_TGD), as_rows(v_TGD)
        return self.output(attend_columns(q_THD, keys, values, columns, scale=self.scale, cap=self.cap))

    def prefill(
        self, x_BTC: Tensor, layer: int, slots_B: Tensor, cache: KeyValueCache, mask: Tensor | None = None
    ) -> Tensor:
        """Causal pass that leaves keys and values at positions 0 to T - 1 of the slots; `mask`: one that is causal."""
        q, k, v = self._project(x_BTC)
        cache.write_prompt(layer, slots_B, k, v)
        return self._attend(q, k, v, mask, causal=mask is None)

    def extend(self, x_BTC: Tensor, layer: int, extension: Extension, cache: KeyValueCache) -> Tensor:
        """Pieces of prompts, attending to what their slots hold already and causally to themselves."""
        q, k, v = self._project(x_BTC, extension.positions_BT)
        return self._attend(q, *cache.write_extension(layer, extension, k, v), extension.mask)

    def decode(
        self, x_BC: Tensor, layer: int, positions_B: Tensor, mask: Tensor | Columns, cache: KeyValueCache
    ) -> Tensor:
        """One token a row, attending to the row's cached tokens and itself."""
        qkv_BND = self.qkv(x_BC).view(x_BC.shape[0], -1, self.head_width)
        if self.rotary is not None or self.query_norm is not None:
            qk_BND = qkv_BND[:, : -self.kv_heads]
            qk_BND.copy_(self._placed(qk_BND, positions_B))
        q_BHD, kv_BND = qkv_BND.split([self.heads, 2 * self.kv_heads], dim=1)
        cache.write_step(layer, positions_B, kv_BND.unflatten(1, (2, self.kv_heads)))
        return self.output(self._attend_step(q_BHD, cache.keys[layer], cache.values[layer], mask))


class CrossAttention(Attention):
    """Queries from the decoder, keys and values from the encoder's output."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        head_width: int | None = None,
        bias: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(width, heads, heads, head_width, bias=bias, scale=scale, dropout=dropout)
        self.query = nn.Linear(width, self.inner_width, bias=bias)
        self.key_value = nn.Linear(width, 2 * self.kv_width, bias=bias)

    def projections(self) -> Mapping[str, Blocks]:
        fused = (("key", self.kv_width), ("value", self.kv_width))
        return {"query": (("query", self.inner_width),), "key_value": fused, "output": (("output", self.width),)}

    def project_tokens(self, memory_TC: Tensor) -> Tensor:
        """Keys and values [T, 2, H, D] of packed source tokens."""
        return self.key_value(memory_TC).view(memory_TC.shape[0], 2, self.kv_heads, self.head_width)

    def project_memory(self, memory_BSC: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, S, D]: once a source, then reused at every step."""
        k, v = self.key_value(memory_BSC).chunk(2, dim=2)
        return self._split(k), self._split(v)

    def forward(self, x_BTC: Tensor, k_BHSD: Tensor, v_BHSD: Tensor, mask: Tensor) -> Tensor:
        return self._attend(self._split(self.query(x_BTC)), k_BHSD, v_BHSD, mask)

    def decode(
        self, x_BC: Tensor, k_MHSD: Tensor, v_MHSD: Tensor, mask: Tensor | Columns, sharing: Sharing | None = None
    ) -> Tensor:
        """One token a row, attending to the row's source; `sharing` says which rows have one together."""
        q_BHD = self.query(x_BC).view(x_BC.shape[0], self.heads, self.head_width)
        return self.output(self._attend_step(q_BHD, k_MHSD, v_MHSD, mask, sharing))

    def weights(self, x_BTC: Tensor, k_BHSD: Tensor, mask: Tensor) -> Tensor:
        """[B, T, S]: how much each query looks at each source token, as the mean of the heads."""
        q_BHTD = self._split(self.query(x_BTC))
        scores_BHTS = (q_BHTD @ k_BHSD.transpose(2, 3)).float() * self.scale
        return scores_BHTS.masked_fill(~mask, -math.inf).softmax(dim=3).mean(dim=1)
