"""Slot-based static key/value cache: self-attention keys and values, and cross-attention memory.

Buffers are allocated once, as zeros, and never move. A *slot* is a row; the token at position p lives in column p + 1.
Column 0 is the scrap column: padding rows (position -1) write there and attend to it alone, so they touch nobody's
data and never produce NaN. Knows nothing of sequences: who owns a slot is decided elsewhere.

Shapes: B rows, H key/value heads, C columns, S source columns, T tokens, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.config import CacheShape


@dataclass(frozen=True)
class KeyValueCache:
    keys: tuple[Tensor, ...]  # per layer [B, H, C, D]
    values: tuple[Tensor, ...]
    memory_keys: tuple[Tensor, ...]  # per layer [B, H, S, D]; empty without cross-attention
    memory_values: tuple[Tensor, ...]
    memory_lengths: Tensor  # [B] int64, >= 1 so that no row masks everything
    rows_B: Tensor  # 0, 1, ..., B - 1
    columns_C: Tensor
    memory_columns_S: Tensor

    @classmethod
    def allocate(
        cls,
        shape: CacheShape,
        *,
        slots: int,
        length: int,
        source_length: int = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> KeyValueCache:
        """Room for `slots` sequences of `length` tokens, each with a memory of `source_length` tokens."""

        def zeros(columns: int, layers: int) -> tuple[Tensor, ...]:
            size = (slots, shape.heads, columns, shape.head_width)
            return tuple(torch.zeros(size, dtype=dtype, device=device) for _ in range(layers))

        memory_layers = shape.layers if shape.cross else 0
        return cls(
            keys=zeros(length + 1, shape.layers),
            values=zeros(length + 1, shape.layers),
            memory_keys=zeros(source_length, memory_layers),
            memory_values=zeros(source_length, memory_layers),
            memory_lengths=torch.ones(slots, dtype=torch.int64, device=device),
            rows_B=torch.arange(slots, device=device),
            columns_C=torch.arange(length + 1, device=device),
            memory_columns_S=torch.arange(source_length, device=device),
        )

    @staticmethod
    def size_in_bytes(
        shape: CacheShape, *, slots: int, length: int, source_length: int = 0, dtype: torch.dtype = torch.float32
    ) -> int:
        """Bytes of the key/value buffers that `allocate` would take."""
        columns = length + 1 + (source_length if shape.cross else 0)
        return 2 * shape.layers * slots * shape.heads * columns * shape.head_width * dtype.itemsize

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (*self.keys, *self.values, *self.memory_keys, *self.memory_values))

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

    def window(self, rows: int, length: int, source_length: int = 0) -> KeyValueCache:
        """A view of the first `rows` slots, `length` tokens and `source_length` memory tokens; no data is copied."""
        return KeyValueCache(
            keys=tuple(k[:rows, :, : length + 1] for k in self.keys),
            values=tuple(v[:rows, :, : length + 1] for v in self.values),
            memory_keys=tuple(k[:rows, :, :source_length] for k in self.memory_keys),
            memory_values=tuple(v[:rows, :, :source_length] for v in self.memory_values),
            memory_lengths=self.memory_lengths[:rows],
            rows_B=self.rows_B[:rows],
            columns_C=self.columns_C[: length + 1],
            memory_columns_S=self.memory_columns_S[:source_length],
        )

    def write_prompt(self, layer: int, slots_B: Tensor, k_BHTD: Tensor, v_BHTD: Tensor) -> None:
        """Positions 0 to T - 1 of the given slots. What lies behind a row's own length is masked by its position."""
        columns = slice(1, k_BHTD.shape[2] + 1)
        self.keys[layer][slots_B, :, columns] = k_BHTD
        self.values[layer][slots_B, :, columns] = v_BHTD

    def write_step(self, layer: int, positions_B: Tensor, k_BHD: Tensor, v_BHD: Tensor) -> None:
        """One token for every row, at its position; -1 writes to the scrap column."""
        columns_B = positions_B + 1
        self.keys[layer][self.rows_B, :, columns_B] = k_BHD
        self.values[layer][self.rows_B, :, columns_B] = v_BHD

    def write_memory(self, layer: int, slots_B: Tensor, k_BHSD: Tensor, v_BHSD: Tensor) -> None:
        columns = slice(0, k_BHSD.shape[2])
        self.memory_keys[layer][slots_B, :, columns] = k_BHSD
        self.memory_values[layer][slots_B, :, columns] = v_BHSD

    def write_memory_lengths(self, slots_B: Tensor, lengths_B: Tensor) -> None:
        self.memory_lengths[slots_B] = lengths_B

    def step_mask(self, positions_B: Tensor) -> Tensor:
        """[B, 1, 1, C] bool: a row attends to columns 1 to position + 1; a padding row to the scrap column alone."""
        last_B1 = positions_B[:, None] + 1
        mask_BC = (self.columns_C <= last_B1) & (self.columns_C >= last_B1.clamp(max=1))
        return mask_BC[:, None, None, :]

    def memory_mask(self) -> Tensor:
        """[B, 1, 1, S] bool."""
        return (self.memory_columns_S < self.memory_lengths[:, None])[:, None, None, :]

    def move(self, source: int, target: int) -> None:
        """Copy a slot over another: the engine keeps active slots at the front."""
        for buffers in (self.keys, self.values, self.memory_keys, self.memory_values):
            for buffer in buffers:
                buffer[target] = buffer[source]
        self.memory_lengths[target] = self.memory_lengths[source]
