"""A small recurrent encoder-decoder: its state is no cache, but hidden vectors that each step overwrites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.config import Capabilities, EncoderDecoderConfig
from models.interface import Prompts, Seq2SeqBatch, Sharing, StateSize


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(EncoderDecoderConfig):
    architecture: ClassVar[str] = "recurrent"

    vocab_size: int = 61
    width: int = 32
    dropout: float = 0.0
    pad_id: int = 0
    start_id: int = 1
    end_id: int = 2
    max_source: int = 24
    max_target: int = 24

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(memory=True, grows=False, alignment_layers=1)


@dataclass(frozen=True)
class RecurrentState:
    hidden_BC: Tensor
    memory_MSC: Tensor  # the encoder's outputs
    lengths_M: Tensor
    length: int  # what a slot holds has no length, but whoever runs the model asks
    sharing: Sharing | None = None

    @property
    def slots(self) -> int:
        return self.hidden_BC.shape[0]

    @property
    def source_length(self) -> int:
        return self.memory_MSC.shape[1]

    @property
    def nbytes(self) -> int:
        return self.hidden_BC.nbytes + self.memory_MSC.nbytes

    def window(
        self,
        rows: int,
        length: int,
        source_length: int = 0,
        *,
        memories: int | None = None,
        sharing: Sharing | None = None,
    ) -> RecurrentState:
        memories = rows if memories is None else memories
        memory_MSC, lengths_M = self.memory_MSC[:memories, :source_length], self.lengths_M[:memories]
        return RecurrentState(self.hidden_BC[:rows], memory_MSC, lengths_M, length, sharing)

    def copy(self, source: int, target: int, start: int, stop: int) -> None:
        self.hidden_BC[target] = self.hidden_BC[source]

    def move_memory(self, source: int, target: int) -> None:
        self.memory_MSC[target], self.lengths_M[target] = self.memory_MSC[source], self.lengths_M[source]


class Recurrent(nn.Module):
    """GRU cells and multiplicative attention (Luong et al. 2015, dot)."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.encoder, self.decoder = nn.GRUCell(width, width), nn.GRUCell(width, width)
        self.output = nn.Linear(2 * width, config.vocab_size)

    def new_state(self, size: StateSize) -> RecurrentState:
        width, like = self.config.width, {"dtype": size.dtype, "device": size.device}
        return RecurrentState(
            torch.zeros(size.slots, width, **like),
            torch.zeros(size.slots, size.source_length, width, **like),
            torch.ones(size.slots, dtype=torch.int64, device=size.device),
            size.length,
        )

    def forward(self, batch: Seq2SeqBatch) -> Tensor:
        memory_BSC, hidden_BC = self.encode(batch.source_BS, batch.source_lengths_B)
        logits = []
        for token_B in batch.target_BT.unbind(1):
            hidden_BC = self.decoder(self.embedding(token_B), hidden_BC)
            logits.append(self.answer(hidden_BC[:, None], memory_BSC, batch.source_lengths_B)[:, 0])
        return torch.stack(logits, dim=1)

    def alignment(self, batch: Seq2SeqBatch, layer: int) -> Tensor:
        memory_BSC, hidden_BC = self.encode(batch.source_BS, batch.source_lengths_B)
        weights = []
        for token_B in batch.target_BT.unbind(1):
            hidden_BC = self.decoder(self.embedding(token_B), hidden_BC)
            weights.append(self.weights(hidden_BC[:, None], memory_BSC, batch.source_lengths_B)[:, 0])
        return torch.stack(weights, dim=1)

    def encode(self, source_BS: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        hidden_BC, outputs = torch.zeros(len(source_BS), self.config.width), []
        for place, token_B in enumerate(source_BS.unbind(1)):
            new_BC = self.encoder(self.embedding(token_B), hidden_BC)
            hidden_BC = torch.where(place < lengths_B[:, None], new_BC, hidden_BC)
            outputs.append(hidden_BC)
        return torch.stack(outputs, dim=1), hidden_BC

    def weights(self, hidden_MKC: Tensor, memory_MSC: Tensor, lengths_M: Tensor) -> Tensor:
        masked = torch.arange(memory_MSC.shape[1]) >= lengths_M[:, None, None]
        return (hidden_MKC @ memory_MSC.mT).masked_fill(masked, -torch.inf).softmax(dim=2)

    def answer(self, hidden_MKC: Tensor, memory_MSC: Tensor, lengths_M: Tensor) -> Tensor:
        context_MKC = self.weights(hidden_MKC, memory_MSC, lengths_M) @ memory_MSC
        return self.output(torch.cat([hidden_MKC, context_MKC], dim=2))

    def prefill(
        self, prompts: Prompts, slots_B: Tensor, state: RecurrentState, memories_B: Tensor | None = None
    ) -> Tensor:
        memories_B = slots_B if memories_B is None else memories_B
        memory_BSC, hidden_BC = self.encode(prompts.tokens_BS, prompts.lengths_B)
        state.memory_MSC[memories_B, : memory_BSC.shape[1]] = memory_BSC
        state.lengths_M[memories_B] = prompts.lengths_B
        target_BT = torch.full_like(slots_B, self.config.start_id)[:, None]
        lengths_B = torch.ones_like(slots_B)
        if prompts.prefix_BT is not None:
            target_BT = torch.cat([target_BT, prompts.prefix_BT], dim=1)
            lengths_B = prompts.prefix_lengths_B + 1
        for place, token_B in enumerate(target_BT.unbind(1)):
            new_BC = self.decoder(self.embedding(token_B), hidden_BC)
            hidden_BC = torch.where(place < lengths_B[:, None], new_BC, hidden_BC)
        state.hidden_BC[slots_B] = hidden_BC
        return self.answer(hidden_BC[:, None], memory_BSC, prompts.lengths_B)[:, 0]

    def decode(self, tokens_B: Tensor, positions_B: Tensor, state: RecurrentState) -> Tensor:
        new_BC = self.decoder(self.embedding(tokens_B), state.hidden_BC)
        state.hidden_BC.copy_(torch.where(positions_B[:, None] < 0, state.hidden_BC, new_BC))
        hidden_MKC = state.hidden_BC[:, None] if state.sharing is None else state.sharing.gather(state.hidden_BC)
        logits_MKV = self.answer(hidden_MKC, state.memory_MSC, state.lengths_M)
        return logits_MKV[:, 0] if state.sharing is None else state.sharing.scatter(logits_MKV)


def recurrent() -> Recurrent:
    torch.manual_seed(0)
    model = Recurrent(RecurrentConfig()).eval()
    for parameter in model.parameters():
        parameter.data.mul_(3)
    return model
