"""Programs: what a function on fixed buffers does, written down once as calls of kernels and run again at one go.

To the engine on a CPU it is what a CUDA graph is on a GPU. PyTorch runs the function, and each operator that is met is
written down as the kernel that does the same, where there is one; views and allocations cost nothing when the program
runs. It runs for any number of rows: what has as many as one of the recording's *extents* gets as many as the program
is run with. What lies between two kernels gets a place in an arena that programs share, for as long as it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from models.native import library
from models.native.fusion import fused
from models.native.instructions import Instruction
from models.native.memory import ALIGNMENT
from models.native.operators import ALLOCATIONS, KERNELS

# The rows to record with: numbers that nothing else has, which is checked.
EXTENTS = (211, 223, 227)


class NotRecordable(Exception):
    """The function does something that no kernel does; the text says what."""


def perform(*instructions: Instruction) -> None:
    """Carry out calls of kernels; within a recording they are written down instead."""
    mode = _get_current_dispatch_mode()
    if isinstance(mode, _Recording):
        mode.instructions += instructions
        return
    packed = b"".join([instruction.pack() for instruction in instructions])
    library.runner()(packed, len(instructions), b"", torch.get_num_threads())


class Recorder:
    """Makes programs whose intermediate results share memory: one of them runs at a time."""

    def __init__(self) -> None:
        self._arena = torch.empty(0, dtype=torch.uint8)

    def __call__(self, function: Callable[[], Sequence[Tensor]], capacity: Sequence[int]) -> Program:
        """What runs `function` again, whose buffers have `EXTENTS` rows now and are going to have up to `capacity`. Its
        results have rows of one of these. Raises NotRecordable."""
        most = dict(zip(EXTENTS, capacity, strict=False))
        recording = _Recording()
        with recording:
            results = function()
        instructions = fused(recording.instructions, {each.untyped_storage().data_ptr() for each in results})
        sizes = {}
        for made in recording.made:
            storage = made.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes() // made.shape[0] * most[made.shape[0]]
        places, size = _places(instructions, sizes, results)
        if size > self._arena.numel():
            self._arena = torch.empty(size, dtype=torch.uint8)
        arena = self._arena

        def address(tensor: Tensor) -> int:
            storage = tensor.untyped_storage().data_ptr()
            start = arena.data_ptr() + places[storage] if storage in places else storage
            return start + tensor.data_ptr() - storage

        packed = b"".join([_of_any_extent(each, most).pack(address) for each in instructions])
        operands = [each for instruction in instructions for each in instruction.operands if each is not None]
        kept = [operand for operand in operands if operand.untyped_storage().data_ptr() not in places]
        placed = tuple(_placed(result, address, arena, most) for result in results)
        return Program(packed, len(instructions), [arena, *kept], placed)


@dataclass(frozen=True, slots=True)
class Program:
    packed: bytes
    instructions: int
    kept: list[Tensor]  # whose memory the program reads and writes
    results: tuple[Tensor, ...]  # with as many rows as the program has room for

    def run(self, *extents: int) -> None:
        """For so many rows; `results` have the outcome, until the next program runs."""
        done = library.runner()(
            self.packed, self.instructions, struct.pack(f"{len(extents)}q", *extents), torch.get_num_threads()
        )
        assert done == self.instructions, "the library is another one's"


@dataclass
class _Recording(TorchDispatchMode):
    instructions: list[Instruction] = field(default_factory=list)
    made: list[Tensor] = field(default_factory=list)  # every tensor that the function allocated

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here that this would have to be kept from, and PyTorch imports its compiler for that."""
        return False

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = operator(*args, **kwargs)
        outputs = [each for each in (result if isinstance(result, tuple | list) else [result]) if each is not None]
        if _is_view(operator, outputs, args):
            return result
        named = f"{operator} of {[tuple(each.shape) for each in args if isinstance(each, Tensor)]}"
        if not operator._schema.is_mutable:
            if any(each.dim() == 0 or each.shape[0] not in EXTENTS or not each.is_contiguous() for each in outputs):
                raise NotRecordable(f"{named}, whose result has rows of no extent")
            self.made += outputs
        if operator not in ALLOCATIONS:
            done = KERNELS[operator](outputs[0], *args, **kwargs) if operator in KERNELS else None
            if done is None:
                raise NotRecordable(named)
            self.instructions += done if isinstance(done, list) else [done]
        return result


def _is_view(operator: Any, outputs: list[Tensor], arguments: tuple[Any, ...]) -> bool:
    """Whether all that comes out lies in what went in, as it was: views, and dropout that drops nothing."""
    if operator._schema.is_mutable:
        return False
    tensors = [each for each in arguments if isinstance(each, Tensor) and each.layout is torch.strided]
    memory = {each.untyped_storage().data_ptr() for each in tensors}
    return all(each.untyped_storage().data_ptr() in memory for each in outputs)


def _of_any_extent(instruction: Instruction, extents: dict[int, int]) -> Instruction:
    """With -1, -2, ... for its rows, of the first, second, ... extent."""
    sizes = list(instruction.sizes)
    rows = sizes[instruction.rows]
    if rows not in extents:
        raise NotRecordable(f"{instruction.kernel.name} of {rows} rows, which is no extent")
    sizes[instruction.rows] = -1 - EXTENTS.index(rows)
    return replace(instruction, sizes=tuple(sizes))


def _places(
    instructions: list[Instruction], sizes: dict[int, int], results: Sequence[Tensor]
) -> tuple[dict[int, int], int]:
    """An offset for each storage that the function made, and the size of all: those that are used at the same time lie
    apart. The results are used to the end."""
    first: dict[int, int] = {}
    last = {result.untyped_storage().data_ptr(): len(instructions) for result in results}
    for index, instruction in enumerate(instructions):
        for operand in instruction.operands:
            storage = 0 if operand is None else operand.untyped_storage().data_ptr()
            if storage in sizes:
                first.setdefault(storage, index)
                last[storage] = max(last.get(storage, 0), index)
    places: dict[int, int] = {}
    total = 0
    for storage in sorted(first, key=lambda each: -sizes[each]):
        at = 0
        beside = [o for o in places if first[o] <= last[storage] and first[storage] <= last[o]]
        for other in sorted(beside, key=places.__getitem__):
            if at + sizes[storage] <= places[other]:
                break
            at = max(at, places[other] + -(-sizes[other] // ALIGNMENT) * ALIGNMENT)
        places[storage] = at
        total = max(total, at + sizes[storage])
    return places, total


def _placed(result: Tensor, address: Callable[[Tensor], int], arena: Tensor, extents: dict[int, int]) -> Tensor:
    """The result's place, with all rows that there is room for."""
    rows, width = extents[result.shape[0]], result.stride(0) * result.element_size()
    start = address(result) - arena.data_ptr()
    return arena[start : start + rows * width].view(result.dtype).view(rows, *result.shape[1:])
