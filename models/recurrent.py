"""Recurrent translators, the way that led to the Transformer. They differ in what the decoder knows of the source:

- `none`: one vector of a fixed size, with which each step of the decoder begins (Cho et al. 2014, section 2.2),
  and of which its first state comes (Sutskever et al. 2014, section 2, where it is all that the decoder gets);
- `additive`: a mean of the encoder's vectors, weighted anew at each step by the state before it, from which with the
  word before the step begins (Bahdanau et al. 2015, section 3.1 and appendix A.1.2);
- `dot`, `general`: such a mean, weighted by the state after the step (Luong et al. 2015, section 3.1, without the input
  feeding of 3.3, so that in training all steps go through one kernel).

All say the next word from tanh(W [hidden; context]) (Luong et al. 2015, equation 5), so that it is the attention alone
in which they differ; Cho and Bahdanau have a maxout layer that sees the word before as well. A layer's first state is a
projection of the last vectors that the encoder's cells end with, as in Bahdanau's appendix A.2.2.

Weights: `embedding.token`, `embedding.output` (untied), `encoder.N.forwards` and `.backwards`, `decoder.N`, each with
`input`, `hidden` and perhaps `context`; `bridge.initial`; `attention.query`, `.key`, `.energy`, `.output`.

A slot holds the state of each layer of the decoder; a memory row the encoder's vectors, or the one of the whole source,
and what of the attention's scores depends on them alone.
Shapes: B rows, S source tokens, T target tokens, C width, V vocabulary, L layers of the decoder, P vectors of a state,
G gates times C, M memory rows, K rows that read a memory row, N tensors of a memory: keys, if not the values, values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from models.cells import Cell, CellKind, RecurrentEncoderLayer, vectors
from models.config import Capabilities, ConfigError, EncoderDecoderConfig
from models.interface import Prompts, Seq2SeqBatch, Sharing, StateSize
from models.layers import Stack, TokenEmbedding, reset_xavier
from models.parts import Blocks, Part

AttentionKind = Literal["none", "additive", "dot", "general"]


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(EncoderDecoderConfig):
    """Recurrent encoder-decoder with or without attention (Bahdanau et al. 2015; Luong et al. 2015)."""

    architecture: ClassVar[str] = "recurrent"
    noun: ClassVar[str] = "a recurrent encoder-decoder"

    vocab_size: int
    width: int  # of a token's vector, of what the encoder says of a token, and of the decoder's states
    cell: CellKind = "gru"
    bidirectional: bool = True  # the encoder: two cells a layer, of half the width each
    encoder_layers: int = 1
    decoder_layers: int = 1
    attention: AttentionKind = "additive"
    dropout: float = 0.1  # in training only: of what goes from layer to layer, not from step to step (Zaremba 2014)
    tied_embeddings: bool = True  # source, target and output share one matrix
    max_source: int = 256
    max_target: int = 256
    pad_id: int = 0
    start_id: int = 1
    end_id: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("cell", get_args(CellKind)), ("attention", get_args(AttentionKind))):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if self.bidirectional and self.width % 2:
            raise ConfigError(f"width is {self.width}, expected an even one: each direction has half of it")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(memory=True, grows=False, alignment_layers=0 if self.attention == "none" else 1)


@dataclass(frozen=True)
class SourceMemory:
    """What a decoder sees of the sources."""

    keys_MSC: Tensor
    values_MSC: Tensor
    lengths_M: Tensor  # int64, >= 1 so that no row masks everything
    sharing: Sharing | None = None

    def padding(self) -> Tensor:
        """[M, 1, S] bool."""
        places_S = torch.arange(self.values_MSC.shape[1], device=self.lengths_M.device)
        return places_S >= self.lengths_M[:, None, None]

    def by_memory(self, x_BC: Tensor) -> Tensor:
        """[M, K, C]: the rows that read each memory row."""
        return x_BC[:, None] if self.sharing is None else self.sharing.gather(x_BC)

    def by_row(self, x_MKC: Tensor) -> Tensor:
        """[B, C]."""
        return x_MKC[:, 0] if self.sharing is None else self.sharing.scatter(x_MKC)


@dataclass(frozen=True)
class RecurrentState:
    states_LPBC: Tensor
    vectors_NMSC: Tensor
    lengths_M: Tensor
    length: int  # what a slot holds takes no more room with each token; as many as were asked for
    source_length: int
    sharing: Sharing | None = None

    @property
    def memory(self) -> SourceMemory:
        return SourceMemory(self.vectors_NMSC[0], self.vectors_NMSC[-1], self.lengths_M, self.sharing)

    @property
    def slots(self) -> int:
        return self.states_LPBC.shape[2]

    @property
    def nbytes(self) -> int:
        return self.states_LPBC.nbytes + self.vectors_NMSC.nbytes

    def window(
        self, rows: int, length: int, source_length: int = 0, *, sharing: Sharing | None = None
    ) -> RecurrentState:
        memories = rows if sharing is None else sharing.rows_MK.shape[0]
        vectors_NMSC, lengths_M = self.vectors_NMSC[:, :memories, :source_length], self.lengths_M[:memories]
        return RecurrentState(self.states_LPBC[:, :, :rows], vectors_NMSC, lengths_M, length, source_length, sharing)

    def copy(self, source: int, target: int, start: int, stop: int) -> None:
        """All that the slot holds."""
        self.states_LPBC[:, :, target] = self.states_LPBC[:, :, source]

    def write_memory(self, memories_B: Tensor, memory: SourceMemory) -> None:
        columns = slice(0, memory.values_MSC.shape[1])
        self.vectors_NMSC[0, memories_B, columns] = memory.keys_MSC
        self.vectors_NMSC[-1, memories_B, columns] = memory.values_MSC
        self.lengths_M[memories_B] = memory.lengths_M

    def move_memory(self, source: int, target: int) -> None:
        self.vectors_NMSC[:, target] = self.vectors_NMSC[:, source]
        self.lengths_M[target] = self.lengths_M[source]


class SourceAttention(Part):
    """From states to weights of the source's tokens, and from what is read with them to what the next word is said of.

    The fixed context is the case of one vector, whose weight is 1.
    """

    def __init__(self, kind: AttentionKind, width: int) -> None:
        super().__init__()
        self.kind, self.width = kind, width
        self.query = nn.Linear(width, width, bias=False) if kind == "additive" else None
        self.key = nn.Linear(width, width, bias=kind == "additive") if kind in ("additive", "general") else None
        self.energy = nn.Parameter(torch.empty(width)) if kind == "additive" else None
        self.output = nn.Linear(2 * width, width)

    @property
    def enters(self) -> bool:
        """The context is part of what a step begins with; else the step is there first, and looks for its context."""
        return self.kind in ("none", "additive")

    def projections(self) -> Mapping[str, Blocks]:
        names = ("query", "key", "output")
        return {name: ((name, self.width),) for name in names if getattr(self, name) is not None}

    def memorize(self, encoded_BSC: Tensor, whole_BC: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, S, C] of what the encoder says of each token, and of all [B, C]."""
        if self.kind == "none":
            return whole_BC[:, None], whole_BC[:, None]
        keys_BSC = encoded_BSC if self.key is None else self.key(encoded_BSC)
        return keys_BSC, encoded_BSC.to(keys_BSC.dtype)  # within autocast not converted anew at each step

    def weights(self, query_MKC: Tensor, memory: SourceMemory) -> Tensor:
        """[M, K, S]; over a source's own tokens their sum is 1, elsewhere they are 0."""
        if self.kind == "none":
            return torch.ones_like(query_MKC[:, :, :1])
        if self.query is None:
            scores_MKS = query_MKC @ memory.keys_MSC.mT.to(query_MKC.dtype)
        else:
            assert self.energy is not None, "it comes with the projection of the query"
            scores_MKS = (self.query(query_MKC)[:, :, None] + memory.keys_MSC[:, None]).tanh() @ self.energy
        return scores_MKS.masked_fill(memory.padding(), -math.inf).softmax(dim=2)

    @staticmethod
    def read(weights_MKS: Tensor, memory: SourceMemory) -> Tensor:
        """The contexts [M, K, C]."""
        return weights_MKS.to(memory.values_MSC.dtype) @ memory.values_MSC

    def combine(self, hidden: Tensor, context: Tensor) -> Tensor:
        """[..., C]."""
        return self.output(torch.cat([hidden, context.to(hidden.dtype)], dim=-1)).tanh()


class Bridge(Part):
    """From what the encoder's cells end with to the decoder's first states: bounded as hidden vectors are, and free as
    those of an LSTM's cells."""

    def __init__(self, kind: CellKind, layers: int, width: int) -> None:
        super().__init__()
        self.layers, self.vectors = layers, vectors(kind)
        self.outputs = layers * self.vectors * width
        self.initial = nn.Linear(width, self.outputs)

    def projections(self) -> Mapping[str, Blocks]:
        return {"initial": (("feedforward", self.outputs),)}

    def forward(self, whole_BC: Tensor) -> Tensor:
        """[L, P, B, C]."""
        states_BLPC = self.initial(whole_BC).unflatten(1, (self.layers, self.vectors, -1))
        hidden, *cells = states_BLPC.unbind(2)
        return torch.stack([hidden.tanh(), *cells]).permute(2, 0, 1, 3)


class Recurrent(nn.Module):
    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(
            config.vocab_size,
            config.width,
            pad_id=config.pad_id,
            positions=None,
            scale=math.sqrt(config.width),
            tied=config.tied_embeddings,
            dropout=config.dropout,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.encoder: Stack[RecurrentEncoderLayer] = Stack(
            RecurrentEncoderLayer(config.cell, config.width, bidirectional=config.bidirectional)
            for _ in range(config.encoder_layers)
        )
        self.bridge = Bridge(config.cell, config.decoder_layers, config.width)
        self.attention = SourceAttention(config.attention, config.width)
        contexts = [config.width if self.attention.enters else None, *[None] * (config.decoder_layers - 1)]
        self.decoder: Stack[Cell] = Stack(
            Cell(config.cell, config.width, config.width, context=context) for context in contexts
        )
        reset_xavier(self, self.embedding)
        for module in self.modules():
            if isinstance(module, Cell):
                module.reset_parameters()

    @property
    def _first(self) -> Cell:
        return next(iter(self.decoder))

    def new_state(self, size: StateSize) -> RecurrentState:
        config = self.config
        tensors = 1 if self.attention.key is None else 2
        columns = min(size.source_length, 1) if config.attention == "none" else size.source_length

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, config.width, dtype=size.dtype, device=size.device)

        lengths_M = torch.ones(size.slots, dtype=torch.int64, device=size.device)
        return RecurrentState(
            zeros(config.decoder_layers, vectors(config.cell), size.slots),
            zeros(tensors, size.slots, columns),
            lengths_M,
            size.length,
            size.source_length,
        )

    def forward(self, batch: Seq2SeqBatch) -> Tensor:
        """Logits [B, T, V] of the next target token at each position."""
        return self.logits(self.hidden(batch))

    def hidden(self, batch: Seq2SeqBatch) -> Tensor:
        """[B, T, C]: what `logits` projects; training projects only the positions that count."""
        memory, states_LPBC = self.encode(batch.source_BS, batch.source_lengths_B)
        hidden_BTC, weights_BTS = self._follow(batch.target_BT, states_LPBC, memory)
        return self.dropout(self.attention.combine(hidden_BTC, self.attention.read(weights_BTS, memory)))

    def logits(self, hidden: Tensor) -> Tensor:
        return self.embedding.logits(hidden)

    def alignment(self, batch: Seq2SeqBatch, layer: int) -> Tensor:
        """[B, T, S]: how much is read of each source token to say what comes after each target position. There is one
        layer of attention, however many the decoder has."""
        if layer not in range(self.config.capabilities.alignment_layers):
            raise IndexError(f"layer is {layer}, there are {self.config.capabilities.alignment_layers} with attention")
        memory, states_LPBC = self.encode(batch.source_BS, batch.source_lengths_B)
        return self._follow(batch.target_BT, states_LPBC, memory)[1]

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[SourceMemory, Tensor]:
        """What the decoder sees of the sources, and its first states [L, P, B, C]."""
        x_BSC = self.embedding.sequence(source_BS)
        for number, layer in enumerate(self.encoder):
            x_BSC, whole_BC = layer.read(self.dropout(x_BSC) if number else x_BSC, lengths_B)
        # Within autocast a state is as wide as the weights are: it is added to at each step.
        states_LPBC = self.bridge(whole_BC).to(self.embedding.token.weight.dtype)
        return SourceMemory(*self.attention.memorize(x_BSC, whole_BC), lengths_B), states_LPBC

    def _follow(self, target_BT: Tensor, states_LPBC: Tensor, memory: SourceMemory) -> tuple[Tensor, Tensor]:
        """Teacher forcing: the hidden vectors [B, T, C] of the last layer and the weights [B, T, S] of the source."""
        x_BTC = self.embedding.sequence(target_BT)
        if self.attention.kind == "additive":
            return self._follow_step_by_step(x_BTC, states_LPBC, memory)
        context_BTC = memory.values_MSC.expand_as(x_BTC) if self.attention.enters else None
        first, *further = self.decoder
        x_BTC = first.sequence(x_BTC, states_LPBC[0], context_BTC)
        for cell, state_PBC in zip(further, states_LPBC[1:], strict=True):
            x_BTC = cell.sequence(self.dropout(x_BTC), state_PBC)
        return x_BTC, self.attention.weights(x_BTC, memory)

    def _follow_step_by_step(self, x_BTC: Tensor, states_LPBC: Tensor, memory: SourceMemory) -> tuple[Tensor, Tensor]:
        hidden, weights = [], []
        for entering_BG in self._first.input(x_BTC).unbind(1):
            states_LPBC, _, weights_B1S = self._advance(entering_BG, states_LPBC, memory)
            hidden.append(states_LPBC[-1, 0])
            weights.append(weights_B1S)
        return torch.stack(hidden, dim=1), torch.cat(weights, dim=1)

    def _advance(self, entering_BG: Tensor, states_LPBC: Tensor, memory: SourceMemory) -> tuple[Tensor, Tensor, Tensor]:
        """One token, as the first cell's product of it. The next states, the context [B, C], its weights [M, K, S]."""
        if self.attention.enters:
            context_BC, weights_MKS = self._look(states_LPBC[-1, 0], memory)
        states: list[Tensor] = []
        for number, (cell, state_PBC) in enumerate(zip(self.decoder, states_LPBC, strict=True)):
            if number:
                entering_BG = cell.enter(self.dropout(states[-1][0]))
            elif cell.context is not None:
                entering_BG = entering_BG + cell.context(context_BC)
            states.append(cell.step(entering_BG, state_PBC))
        if not self.attention.enters:
            context_BC, weights_MKS = self._look(states[-1][0], memory)
        return torch.stack(states), context_BC, weights_MKS

    def _look(self, query_BC: Tensor, memory: SourceMemory) -> tuple[Tensor, Tensor]:
        weights_MKS = self.attention.weights(memory.by_memory(query_BC), memory)
        return memory.by_row(self.attention.read(weights_MKS, memory)), weights_MKS

    def prefill(
        self, prompts: Prompts, slots_B: Tensor, state: RecurrentState, memories_B: Tensor | None = None
    ) -> Tensor:
        """Encode the source, run the start token and the prefix."""
        memory, states_LPBC = self.encode(prompts.tokens_BS, prompts.lengths_B)
        state.write_memory(slots_B if memories_B is None else memories_B, memory)
        logits_of_BC, states_LPBC = self._say(torch.full_like(slots_B, self.config.start_id), states_LPBC, memory)
        if prompts.prefix_BT is not None and prompts.prefix_lengths_B is not None:
            for place, tokens_B in enumerate(prompts.prefix_BT.unbind(1)):
                further_BC, further_LPBC = self._say(tokens_B, states_LPBC, memory)
                given_B1 = (place < prompts.prefix_lengths_B)[:, None]
                logits_of_BC = torch.where(given_B1, further_BC, logits_of_BC)
                states_LPBC = torch.where(given_B1, further_LPBC, states_LPBC)
        state.states_LPBC[:, :, slots_B] = states_LPBC
        return self.logits(logits_of_BC)

    def decode(self, tokens_B: Tensor, positions_B: Tensor, state: RecurrentState) -> Tensor:
        """One target token a row; a padding row's state stays as it is."""
        said_BC, states_LPBC = self._say(tokens_B, state.states_LPBC, state.memory)
        state.states_LPBC.copy_(torch.where(positions_B[:, None] < 0, state.states_LPBC, states_LPBC))
        return self.logits(said_BC)

    def _say(self, tokens_B: Tensor, states_LPBC: Tensor, memory: SourceMemory) -> tuple[Tensor, Tensor]:
        """What the next word is said of [B, C], and the states [L, P, B, C] after a token."""
        entering_BG = self._first.input(self.embedding(tokens_B, torch.zeros_like(tokens_B)))
        states_LPBC, context_BC, _ = self._advance(entering_BG, states_LPBC, memory)
        return self.attention.combine(states_LPBC[-1, 0], context_BC), states_LPBC
