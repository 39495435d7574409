"""Recurrent cells and layers of them: the plain RNN (Elman 1990), LSTM (Hochreiter and Schmidhuber 1997) and GRU (Cho
et al. 2014, the reset gate behind the product, as cuDNN and torch have it).

A cell's products are linear layers of a part, so that whoever replaces them finds them. Where nobody did, a whole
sequence goes through torch's kernels for it. Rows of a weight are its gates, in torch's order: input, forget, cell and
output of an LSTM; reset, update and new of a GRU.

Shapes: B rows, T tokens, S source tokens, I inputs, C width of the state, G gates times C, P vectors of a state: the
hidden one and, in an LSTM, the cell's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from models.layers import last_tokens
from models.parts import Blocks, Part

CellKind = Literal["rnn", "lstm", "gru"]
GATES: dict[CellKind, int] = {"rnn": 1, "lstm": 4, "gru": 3}


def vectors(kind: CellKind) -> int:
    """Of a state."""
    return 2 if kind == "lstm" else 1


class Cell(Part):
    def __init__(self, kind: CellKind, inputs: int, width: int, *, context: int | None = None) -> None:
        """With `context`, a vector of that width enters each step beside the input."""
        super().__init__()
        self.kind, self.width, self.gates = kind, width, GATES[kind]
        self.input = nn.Linear(inputs, self.gates * width)
        self.hidden = nn.Linear(width, self.gates * width)
        self.context = None if context is None else nn.Linear(context, self.gates * width, bias=False)

    def projections(self) -> Mapping[str, Blocks]:
        names = ("input", "hidden") if self.context is None else ("input", "hidden", "context")
        return dict.fromkeys(names, (("feedforward", self.width),) * self.gates)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Xavier for what comes in, orthogonal matrices for what comes back (Saxe et al. 2014), each gate by itself;
        an LSTM forgets nothing at first (Jozefowicz et al. 2015)."""
        for name in self.projections():
            linear = getattr(self, name)
            for block in linear.weight.chunk(self.gates):
                (nn.init.orthogonal_ if name == "hidden" else nn.init.xavier_uniform_)(block)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)
        if self.kind == "lstm":
            self.input.bias.chunk(4)[1].fill_(1.0)

    def enter(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[..., G] of inputs [..., I] and contexts: what of a step does not depend on the one before."""
        return self.input(x) if self.context is None else self.input(x) + self.context(context)

    def step(self, entering_BG: Tensor, state_PBC: Tensor) -> Tensor:
        """The state [P, B, C] after one more token."""
        hidden_BC, *rest = state_PBC.unbind()
        back_BG = self.hidden(hidden_BC)
        if self.kind == "gru":
            *gates, new_BC = entering_BG.chunk(3, dim=-1)
            *gates_back, new_back_BC = back_BG.chunk(3, dim=-1)
            reset_BC, update_BC = ((x + y).sigmoid() for x, y in zip(gates, gates_back, strict=True))
            new_BC = (new_BC + reset_BC * new_back_BC).tanh()
            return ((hidden_BC - new_BC) * update_BC + new_BC)[None]
        if self.kind == "lstm":
            first, forget, new, output = (entering_BG + back_BG).chunk(4, dim=-1)
            cell_BC = forget.sigmoid() * rest[0] + first.sigmoid() * new.tanh()
            return torch.stack([output.sigmoid() * cell_BC.tanh(), cell_BC])
        return (entering_BG + back_BG).tanh()[None]

    def sequence(self, x_BTI: Tensor, state_PBC: Tensor | None = None, context_BTI: Tensor | None = None) -> Tensor:
        """The hidden vectors [B, T, C] of whole sequences from a state on, which is zero unless it is given."""
        if state_PBC is None:
            state_PBC = x_BTI.new_zeros(vectors(self.kind), len(x_BTI), self.width)
        if all(type(getattr(self, name)) is nn.Linear for name in self.projections()):
            return self._sequence_at_once(x_BTI, state_PBC, context_BTI)
        hidden = []
        for entering_BG in self.enter(x_BTI, context_BTI).unbind(1):
            state_PBC = self.step(entering_BG, state_PBC)
            hidden.append(state_PBC[0])
        return torch.stack(hidden, dim=1)

    def _sequence_at_once(self, x_BTI: Tensor, state_PBC: Tensor, context_BTI: Tensor | None) -> Tensor:
        weight_GI = self.input.weight
        if self.context is not None and context_BTI is not None:
            weight_GI = torch.cat([weight_GI, self.context.weight], dim=1)
            x_BTI = torch.cat([x_BTI, context_BTI], dim=2)
        # Within autocast what comes in may be narrower than the weights, which the kernels refuse.
        x_BTI, state_PBC = x_BTI.to(weight_GI.dtype), state_PBC.to(weight_GI.dtype)
        weights = [weight_GI, self.hidden.weight, self.input.bias, self.hidden.bias]
        # Of one layer with biases, without dropout, in one direction; rows before tokens.
        how = (True, 1, 0.0, self.training, False, True)
        hidden_1BC = state_PBC[:1].contiguous()
        if self.kind == "lstm":
            return torch.lstm(x_BTI, [hidden_1BC, state_PBC[1:].contiguous()], weights, *how)[0]
        return (torch.gru if self.kind == "gru" else torch.rnn_tanh)(x_BTI, hidden_1BC, weights, *how)[0]


class RecurrentEncoderLayer(nn.Module):
    """A cell that reads from left to right or, `bidirectional`, two of half the width, of which one reads from right to
    left (Schuster and Paliwal 1997); their vectors lie one behind the other."""

    def __init__(self, kind: CellKind, width: int, *, bidirectional: bool) -> None:
        super().__init__()
        own = width // 2 if bidirectional else width
        self.forwards = Cell(kind, width, own)
        self.backwards = Cell(kind, width, own) if bidirectional else None

    def read(self, x_BSC: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors [B, S, C], of which those of the padding mean nothing, and that of the whole source [B, C]: what
        each cell ends with."""
        out_BSC = self.forwards.sequence(x_BSC)
        whole_BC = last_tokens(out_BSC, lengths_B)[:, 0]
        if self.backwards is None:
            return out_BSC, whole_BC
        places_S = torch.arange(x_BSC.shape[1], device=x_BSC.device)
        mirrored_BS = lengths_B[:, None] - 1 - places_S
        mirrored_BS1 = torch.where(mirrored_BS < 0, places_S, mirrored_BS)[:, :, None]  # padding stays where it is
        back_BSC = self.backwards.sequence(x_BSC.gather(1, mirrored_BS1.expand_as(x_BSC)))
        back_BSC = back_BSC.gather(1, mirrored_BS1.expand_as(back_BSC))
        return torch.cat([out_BSC, back_BSC], dim=2), torch.cat([whole_BC, back_BSC[:, 0]], dim=1)
