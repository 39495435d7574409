"""Slot-based static key/value cache: self-attention keys and values, and cross-attention memory.

Buffers are allocated once, as zeros, and never move. A *slot* is a row; the token at position p lives in column p + 1.
Column 0 is the scrap column: padding rows (position -1) write there and attend to it alone, so they touch nobody's
data and never produce NaN. The memory has rows of its own, which several slots may read (`Sharing`): the beams of one
source. Knows nothing of sequences: who owns a slot is decided elsewhere.

Shapes: L layers, B rows, M memory rows, K rows that share a memory row, H key/value heads, C columns, S source columns,
T tokens, D head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from models.interface import Sharing, StateSize
from models.native.attention import Columns, computes, copy_columns, write_columns


@dataclass(frozen=True, kw_only=True)
class CacheShape:
    """What a slot holds of each token. `layers == 0`: nothing."""

    layers: int
    heads: int  # key/value heads
    head_width: int
    cross: bool = False  # the layers attend to a source, too, whose keys and values lie in the memory


@dataclass(frozen=True)
class Extension:
    """Tokens that go on where what their slots hold ends, as the cache sees them."""

    slots_B: Tensor
    positions_BT: Tensor
    columns_BT: Tensor  # padding goes to the scrap column
    length: int  # tokens the longest slot holds then
    mask: Tensor  # [B, 1, T, C] bool: what lies before a token, and itself

    @classmethod
    def of(cls, slots_B: Tensor, starts_B: Tensor, lengths_B: Tensor, tokens: int) -> Extension:
        """`lengths_B` tokens each from the positions `starts_B` on, padded to `tokens`."""
        offsets_T = torch.arange(tokens, device=slots_B.device)
        positions_BT = starts_B[:, None] + offsets_T
        columns_BT = (positions_BT + 1) * (offsets_T < lengths_B[:, None])
        length = int((starts_B + lengths_B).max())
        # A padding token attends to what a real one in its place would; nobody attends to it.
        columns_C = torch.arange(length + 1, device=slots_B.device)
        mask = (columns_C >= 1) & (columns_C <= positions_BT[:, :, None] + 1)
        return cls(slots_B, positions_BT.clamp(max=length - 1), columns_BT, length, mask[:, None])


@dataclass(frozen=True)
class KeyValueCache:
    slots_kv: Tensor  # [2, L, B, H, C, D]: keys, then values
    memory_kv: Tensor  # [2, L, M, H, S, D]; no layers without cross-attention
    memory_lengths: Tensor  # [M] int64, >= 1 so that no row masks everything
    rows_B: Tensor  # 0, 1, ..., B - 1; of tokens that are read at once the slot of each
    memory_rows_B: Tensor  # the memory row of each, without sharing
    columns_C: Tensor
    memory_columns_S: Tensor
    sharing: Sharing | None = None

    @classmethod
    def allocate(cls, shape: CacheShape, size: StateSize) -> KeyValueCache:
        source_length = size.source_length if shape.cross else 0

        def zeros(layers: int, columns: int) -> Tensor:
            # What a slot holds lies together: a few slots take a few pages, however large pages are.
            dimensions = (size.slots, 2, layers, shape.heads, columns, shape.head_width)
            if torch.device(size.device).type != "cpu" or 0 in dimensions:
                kv = torch.zeros(dimensions, dtype=size.dtype, device=size.device)
            else:
                # Memory that the system has cleared, and has only where something was written to: a cache is rarely
                # full.
                cleared = np.zeros(math.prod(dimensions) * size.dtype.itemsize, dtype=np.uint8)
                kv = torch.from_numpy(cleared).view(size.dtype).view(dimensions)
            return kv.permute(1, 2, 0, 3, 4, 5)

        def numbers(count: int) -> Tensor:
            if torch.device(size.device).type == "meta":  # to count there, PyTorch imports sympy, which stays
                return torch.empty(count, dtype=torch.int64, device=size.device)
            return torch.arange(count, device=size.device)

        return cls(
            slots_kv=zeros(shape.layers, size.length + 1),
            memory_kv=zeros(shape.layers if shape.cross else 0, source_length),
            memory_lengths=torch.ones(size.slots, dtype=torch.int64, device=size.device),
            rows_B=numbers(size.slots),
            memory_rows_B=numbers(size.slots),
            columns_C=numbers(size.length + 1),
            memory_columns_S=numbers(source_length),
        )

    @property
    def nbytes(self) -> int:
        return self.slots_kv.nbytes + self.memory_kv.nbytes

    @cached_property
    def keys(self) -> tuple[Tensor, ...]:
        """Per layer [B, H, C, D]."""
        return self.slots_kv[0].unbind()

    @cached_property
    def values(self) -> tuple[Tensor, ...]:
        return self.slots_kv[1].unbind()

    @cached_property
    def memory_keys(self) -> tuple[Tensor, ...]:
        """Per layer [M, H, S, D]."""
        return self.memory_kv[0].unbind()

    @cached_property
    def memory_values(self) -> tuple[Tensor, ...]:
        return self.memory_kv[1].unbind()

    @cached_property
    def _steps(self) -> tuple[Tensor, ...]:
        """Per layer [B, C, 2, H, D]: what a step writes is one index away, keys and values at once."""
        return self.slots_kv.permute(1, 2, 4, 0, 3, 5).unbind()

    @property
    def slots(self) -> int:
        return self.rows_B.shape[0]

    @property
    def length(self) -> int:
        """Tokens a slot has room for."""
        return self.columns_C.shape[0] - 1

    @property
    def source_length(self) -> int:
        return self.memory_columns_S.shape[0]

    def window(
        self, rows: int, length: int, source_length: int = 0, *, sharing: Sharing | None = None
    ) -> KeyValueCache:
        memories = rows if sharing is None else sharing.rows_MK.shape[0]
        return KeyValueCache(
            slots_kv=self.slots_kv[:, :, :rows, :, : length + 1],
            memory_kv=self.memory_kv[:, :, :memories, :, :source_length],
            memory_lengths=self.memory_lengths[:memories],
            rows_B=self.rows_B[:rows],
            memory_rows_B=self.memory_rows_B[:rows],
            columns_C=self.columns_C[: length + 1],
            memory_columns_S=self.memory_columns_S[:source_length],
            sharing=sharing,
        )

    def at(self, slots_T: Tensor, memories_T: Tensor) -> KeyValueCache:
        """For T tokens that are read at once, several of a slot among them: `write_step` puts each into its slot, and
        each attends to what that slot holds up to the token's position, and to its memory row. For kernels alone."""
        return replace(self, rows_B=slots_T, memory_rows_B=memories_T)

    def layers(self, start: int, end: int) -> KeyValueCache:
        """A view of the layers from `start` to before `end`; no data is copied."""
        return replace(self, slots_kv=self.slots_kv[:, start:end], memory_kv=self.memory_kv[:, start:end])

    def write_prompt(self, layer: int, slots_B: Tensor, k_BHTD: Tensor, v_BHTD: Tensor) -> None:
        """Positions 0 to T - 1 of the given slots. What lies behind a row's own length is masked by its position."""
        columns = slice(1, k_BHTD.shape[2] + 1)
        self.keys[layer][slots_B, :, columns] = k_BHTD
        self.values[layer][slots_B, :, columns] = v_BHTD

    def write_extension(
        self, layer: int, extension: Extension, k_BHTD: Tensor, v_BHTD: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns a copy of the keys and values [B, H, C, D] that the slots hold then, for the tokens to attend to."""
        keys, values = self.keys[layer], self.values[layer]
        keys[extension.slots_B[:, None], :, extension.columns_BT] = k_BHTD.transpose(1, 2)
        values[extension.slots_B[:, None], :, extension.columns_BT] = v_BHTD.transpose(1, 2)
        columns = slice(0, extension.length + 1)
        return keys[extension.slots_B, :, columns], values[extension.slots_B, :, columns]

    def write_step(self, layer: int, positions_B: Tensor, kv_B2HD: Tensor) -> None:
        """One token for every row, at its position; -1 writes to the scrap column."""
        if computes(kv_B2HD):
            write_columns(kv_B2HD, self.rows_B, positions_B, self.keys[layer], self.values[layer], first=1)
        else:
            self._steps[layer][self.rows_B, positions_B + 1] = kv_B2HD

    def write_memory(self, layer: int, memories_B: Tensor, k_BHSD: Tensor, v_BHSD: Tensor) -> None:
        columns = slice(0, k_BHSD.shape[2])
        self.memory_keys[layer][memories_B, :, columns] = k_BHSD
        self.memory_values[layer][memories_B, :, columns] = v_BHSD

    def write_memory_tokens(self, layer: int, memories_T: Tensor, positions_T: Tensor, kv_T2HD: Tensor) -> None:
        """Keys and values of source tokens, each to its memory row and position. By kernels alone."""
        write_columns(kv_T2HD, memories_T, positions_T, self.memory_keys[layer], self.memory_values[layer], first=0)

    def write_memory_lengths(self, memories_B: Tensor, lengths_B: Tensor) -> None:
        self.memory_lengths[memories_B] = lengths_B

    def step_mask(self, positions_B: Tensor, bias_BH1C: Tensor | None = None) -> Tensor | Columns:
        """A row attends to columns 1 to position + 1; a padding row to the scrap column alone. See `_ready`."""
        if computes(self.slots_kv):
            bias_BHC = None if bias_BH1C is None else bias_BH1C.squeeze(2)
            return Columns(positions_B, positions=True, places_T=self.rows_B, bias_THC=bias_BHC)
        last_B1 = positions_B[:, None] + 1
        seen_BC = (self.columns_C <= last_B1) & (self.columns_C >= last_B1.clamp(max=1))
        return self._ready(seen_BC, self.slots_kv, bias_BH1C)

    def memory_mask(self) -> Tensor | Columns:
        """Every memory row's own tokens. See `_ready`."""
        if computes(self.memory_kv):
            if self.sharing is None:
                return Columns(self.memory_lengths, positions=False, places_T=self.memory_rows_B)
            width = self.sharing.rows_MK.shape[1]
            return Columns(self.memory_lengths, positions=False, places_T=self.sharing.places_B, width=width)
        return self._ready(self.memory_columns_S < self.memory_lengths[:, None], self.memory_kv)

    @staticmethod
    def _ready(mask_BC: Tensor, kv: Tensor, bias_BH1C: Tensor | None = None) -> Tensor:
        """The mask as attention takes it: [B, 1, 1, C] bool on a GPU; on the CPU [B, H, 1, C] of 0 and -inf to be added
        to the scores, made once a step rather than once a layer. With a bias, which is added to them, too, on both."""
        mask_B11C = mask_BC[:, None, None]
        if bias_BH1C is not None:
            return bias_BH1C.masked_fill(~mask_B11C, -math.inf)
        if mask_BC.device.type != "cpu":
            return mask_B11C
        size = (mask_BC.shape[0], kv.shape[3], 1, mask_BC.shape[1])
        return torch.zeros(size, dtype=kv.dtype).masked_fill_(~mask_B11C, -math.inf)

    def copy(self, source: int, target: int, start: int, stop: int) -> None:
        """Positions `start` to `stop` - 1 of one slot over another's."""
        columns = slice(start + 1, stop + 1)
        self.slots_kv[:, :, target, :, columns] = self.slots_kv[:, :, source, :, columns]

    def copy_all(self, copies_N4: Tensor) -> None:
        """`copy` with these arguments, one after the other, but columns instead of positions. By kernels alone."""
        copy_columns(self.slots_kv.flatten(0, 1), copies_N4)

    def move_memory(self, source: int, target: int) -> None:
        """Copy a memory row over another."""
        length = int(self.memory_lengths[source])
        self.memory_kv[:, :, target, :, :length] = self.memory_kv[:, :, source, :, :length]
        self.memory_lengths[target] = length
