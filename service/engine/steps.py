"""How a decode step is carried out: eagerly, or as a CUDA graph captured once for each shape.

A GPU finishes the small kernels of such models quicker than Python can start them: replaying a graph starts them all at
once. Shapes are rounded up so that there are few of them. Knows nothing of sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.interface import Servable, Sharing, State


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShape:
    """Everything that a step's tensors' sizes depend on."""

    rows: int
    length: int  # tokens a row attends to
    source: int = 0  # memory tokens it attends to
    memories: int = 0  # memory rows
    width: int = 0  # rows that may share one; 0: row b reads memory row b


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInputs:
    tokens: list[int]  # of each row
    positions: list[int]  # -1: padding
    readers: list[int]  # memories x width: which rows read a memory row
    places: list[int]  # of each row among the readers


class Step(Protocol):
    def round_up(self, shape: StepShape) -> StepShape:
        """The shape to use for at least this one: few different ones, within the state's limits."""
        ...

    def run(self, shape: StepShape, inputs: StepInputs) -> Tensor:
        """Logits [rows, V]; they hold until the next call."""
        ...


class EagerStep:
    """The CPU's kernels do not mind a new shape, but prefer some: rows by four, tokens by 32."""

    def __init__(self, model: Servable, state: State, device: torch.device) -> None:
        self.model, self.state, self.device = model, state, device

    def round_up(self, shape: StepShape) -> StepShape:
        return StepShape(
            rows=shape.rows if shape.rows <= 8 else _round(shape.rows, 4, self.state.slots),
            length=_round(shape.length, 32, self.state.length),
            source=_round(shape.source, 16, self.state.source_length),
            memories=shape.memories,
            width=shape.width,
        )

    def run(self, shape: StepShape, inputs: StepInputs) -> Tensor:
        buffers = _Buffers.of(shape, self.device, inputs)
        return self.model.decode(buffers.tokens_B, buffers.positions_B, buffers.window(self.state, shape))


Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


class GraphStep:
    """One graph for each shape, captured when it is first met, reading its inputs from buffers of its own."""

    def __init__(self, model: Servable, state: State, device: torch.device, record: Record) -> None:
        """`record` runs a function on fixed buffers and returns what runs it again, and its result's buffer."""
        self.model, self.state, self.device, self._record = model, state, device, record
        self._graphs: dict[StepShape, tuple[_Buffers, Callable[[], None], Tensor]] = {}

    def round_up(self, shape: StepShape) -> StepShape:
        width = shape.width and _power_of_two(shape.width)
        return StepShape(
            rows=_rows(shape.rows, self.state.slots),
            length=_round(shape.length, 64, self.state.length),
            source=_round(shape.source, 64, self.state.source_length),
            memories=_rows(shape.memories, self.state.slots) if width else 0,
            width=width,
        )

    def run(self, shape: StepShape, inputs: StepInputs) -> Tensor:
        if shape not in self._graphs:
            self._graphs[shape] = self._capture(shape)
        buffers, replay, logits_BV = self._graphs[shape]
        buffers.fill(inputs)
        replay()
        return logits_BV

    def _capture(self, shape: StepShape) -> tuple[_Buffers, Callable[[], None], Tensor]:
        # All rows are padding: recording touches nothing but the scrap column.
        nothing = StepInputs(
            tokens=[0] * shape.rows,
            positions=[-1] * shape.rows,
            readers=[0] * (shape.memories * shape.width),
            places=[0] * shape.rows,
        )
        buffers = _Buffers.of(shape, self.device, nothing)
        window = buffers.window(self.state, shape)
        return buffers, *self._record(lambda: self.model.decode(buffers.tokens_B, buffers.positions_B, window))


def make_step(model: Servable, state: State, device: torch.device) -> Step:
    if device.type == "cuda":
        return GraphStep(model, state, device, CudaRecorder())
    return EagerStep(model, state, device)


class CudaRecorder:
    """Captures into one memory pool: graphs run one after the other and may use the same memory."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # libraries set themselves up in their first calls, which cannot be captured
            for _ in range(2):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Another thread may be moving the next weights to the device: that does not concern this capture.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = run()
        return graph.replay, result


@dataclass(frozen=True, slots=True)
class _Buffers:
    """A step's inputs as tensors; int64."""

    tokens_B: Tensor
    positions_B: Tensor
    readers_MK: Tensor
    places_B: Tensor

    @classmethod
    def of(cls, shape: StepShape, device: torch.device, inputs: StepInputs) -> _Buffers:
        def tensor(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device=device)

        return cls(
            tensor(inputs.tokens),
            tensor(inputs.positions),
            tensor(inputs.readers).view(shape.memories, shape.width),
            tensor(inputs.places),
        )

    def fill(self, inputs: StepInputs) -> None:
        self.tokens_B.copy_(torch.tensor(inputs.tokens))
        self.positions_B.copy_(torch.tensor(inputs.positions))
        if self.readers_MK.numel():
            self.readers_MK.copy_(torch.tensor(inputs.readers).view_as(self.readers_MK))
            self.places_B.copy_(torch.tensor(inputs.places))

    def window(self, state: State, shape: StepShape) -> State:
        if not shape.width:
            return state.window(shape.rows, shape.length, shape.source)
        sharing = Sharing(self.readers_MK, self.places_B)
        return state.window(shape.rows, shape.length, shape.source, sharing=sharing)


def _round(count: int, step: int, limit: int) -> int:
    """`count` rounded up to a multiple of `step`, at most `limit`."""
    return min(-(-count // step) * step, limit)


def _power_of_two(count: int) -> int:
    return 1 << (count - 1).bit_length()


def _rows(count: int, limit: int) -> int:
    """Powers of two up to 8, then by eight."""
    return min(_power_of_two(count), limit) if count <= 8 else _round(count, 8, limit)
