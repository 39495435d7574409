"""Programs: what a function on fixed buffers does, written down once as calls of kernels and run again at one go.

To a decode step on the CPU it is what a CUDA graph is on a GPU. PyTorch runs the function, and each operator that is
met is written down as the kernel that does the same, where there is one; views and allocations cost nothing when the
program runs. What lies between two kernels gets a place in an arena that programs share, for as long as it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

from models.native import library
from models.native.instructions import Instruction
from models.native.operators import ALLOCATIONS, KERNELS

ALIGNMENT = 64  # bytes: a line of the caches, a register of AVX-512


class NotRecordable(Exception):
    """The function does something that no kernel does; the text says what."""


def perform(*instructions: Instruction) -> None:
    """Carry out calls of kernels; within a recording they are written down, too."""
    mode = _get_current_dispatch_mode()
    if isinstance(mode, _Recording):
        mode.instructions += instructions
    packed = b"".join([instruction.pack() for instruction in instructions])
    library.runner()(packed, len(instructions), torch.get_num_threads())


class Recorder:
    """Makes programs whose intermediate results share memory: one of them runs at a time."""

    def __init__(self) -> None:
        self._arena = torch.empty(0, dtype=torch.uint8)

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """What runs `run` again on the buffers that it works on now, and where its result lies until the next program
        runs. Raises NotRecordable."""
        recording = _Recording()
        with recording:
            result = run()
        places, size = _places(recording, result)
        if size > self._arena.numel():
            self._arena = torch.empty(size, dtype=torch.uint8)
        arena = self._arena

        def address(tensor: Tensor) -> int:
            storage = tensor.untyped_storage().data_ptr()
            offset = tensor.data_ptr() - storage
            return (arena.data_ptr() + places[storage] if storage in places else storage) + offset

        packed = b"".join([instruction.pack(address) for instruction in recording.instructions])
        program = _Program(packed, len(recording.instructions), [arena, *recording.kept])
        return program.run, _placed(result, arena, places)


@dataclass(frozen=True, slots=True)
class _Program:
    packed: bytes
    instructions: int
    kept: list[Tensor]  # whose memory the program reads and writes

    def run(self) -> None:
        library.runner()(self.packed, self.instructions, torch.get_num_threads())


@dataclass
class _Recording(TorchDispatchMode):
    instructions: list[Instruction] = field(default_factory=list)
    made: list[Tensor] = field(default_factory=list)  # every tensor that the function allocated

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def kept(self) -> list[Tensor]:
        """Those operands that are not made in the function."""
        made = {tensor.untyped_storage().data_ptr() for tensor in self.made}
        operands = [o for instruction in self.instructions for o in instruction.operands if o is not None]
        return [operand for operand in operands if operand.untyped_storage().data_ptr() not in made]

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = operator(*args, **kwargs)
        outputs = [each for each in (result if isinstance(result, tuple | list) else [result]) if each is not None]
        if _is_view(operator, outputs, args):
            return result
        self.made += outputs
        if operator in ALLOCATIONS:
            return result
        instruction = KERNELS[operator](outputs[0], *args, **kwargs) if operator in KERNELS else None
        if instruction is None:
            shapes = [tuple(each.shape) for each in args if isinstance(each, Tensor)]
            raise NotRecordable(f"{operator} of {shapes}")
        self.instructions.append(instruction)
        return result


def _is_view(operator: Any, outputs: list[Tensor], arguments: tuple[Any, ...]) -> bool:
    """Whether all that comes out lies in what went in, as it was: views, and dropout that drops nothing."""
    if operator._schema.is_mutable:
        return False
    tensors = [each for each in arguments if isinstance(each, Tensor) and each.layout is torch.strided]
    memory = {each.untyped_storage().data_ptr() for each in tensors}
    return all(each.untyped_storage().data_ptr() in memory for each in outputs)


def _places(recording: _Recording, result: Tensor) -> tuple[dict[int, int], int]:
    """An offset for each storage that the function made, and the size of all: those that are used at the same time lie
    apart. The result is used to the end."""
    sizes = {made.untyped_storage().data_ptr(): made.untyped_storage().nbytes() for made in recording.made}
    first: dict[int, int] = {}
    last: dict[int, int] = {result.untyped_storage().data_ptr(): len(recording.instructions)}
    for index, instruction in enumerate(recording.instructions):
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


def _placed(result: Tensor, arena: Tensor, places: dict[int, int]) -> Tensor:
    storage = result.untyped_storage().data_ptr()
    if storage not in places:
        return result
    start = places[storage] + result.data_ptr() - storage
    flat = arena[start : start + result.numel() * result.element_size()].view(result.dtype)
    return flat.view(result.shape)
