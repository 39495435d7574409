"""What the architectures are assembled from: embeddings, feed-forward, encoder layer, decoder layer.

A layer is given its parts: it knows neither configurations nor which architecture it is in.

Sources: Vaswani et al. 2017; pre-norm: Xiong et al. 2020; sinusoids in two halves: tensor2tensor.
Shapes: B rows, T tokens, S source tokens, C width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import CrossAttention, SelfAttention
from models.cache import Extension, KeyValueCache
from models.config import Activation, PoolerActivation
from models.native.attention import Columns, computes
from models.native.elementwise import applied
from models.native.instructions import Function
from models.parts import Blocks, MakeLinear, Part

L = TypeVar("L", bound=nn.Module)
# Keys [B, H, S, D], values [B, H, S, D], mask [B, 1, 1, S]; in a decode step what the cache has in its place.
Memory = tuple[Tensor, Tensor, Tensor | Columns]


# A long prefill on the CPU runs its feed-forward layers on so many rows at a time: what lies between two projections,
# the widest tensor of all, stays near the caches and is not asked of the system, page by page, at every layer.
ROWS_AT_A_TIME = 1024


def activation(name: Activation) -> Callable[[Tensor], Tensor]:
    functions: dict[Activation, Callable[[Tensor], Tensor]] = {
        "relu": F.relu,
        "gelu": F.gelu,
        "gelu_tanh": gelu_tanh,
        "silu": F.silu,
    }
    return functions[name]


def pooler_activation(name: PoolerActivation) -> Callable[[Tensor], Tensor]:
    return torch.tanh if name == "tanh" else activation(name)


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh form of GELU (Hendrycks and Gimpel 2016), equal to x * sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x³).

    On the CPU torch's sigmoid is quick and its tanh is not: so written out, it takes 0.4 of `F.gelu`'s time.
    """
    if computes(x) and (done := applied(Function.GELU_TANH, x)) is not None:
        return done
    if x.device.type != "cpu" or x.dtype is not torch.float32 or torch.is_grad_enabled():
        return F.gelu(x, approximate="tanh")
    twice = 2 * math.sqrt(2 / math.pi)
    return torch.addcmul(x.new_tensor(twice), x, x, value=0.044715 * twice).mul_(x).sigmoid_().mul_(x)


def padding_mask(lengths_B: Tensor, columns: int) -> Tensor:
    """[B, 1, 1, columns] bool: True on a row's own tokens."""
    return (torch.arange(columns, device=lengths_B.device) < lengths_B[:, None])[:, None, None, :]


def last_tokens(x_BTC: Tensor, lengths_B: Tensor) -> Tensor:
    """[B, 1, C]: each row's last own token."""
    return x_BTC.gather(1, (lengths_B - 1)[:, None, None].expand(-1, 1, x_BTC.shape[2]))


def sinusoids(positions: int, width: int, *, first: int = 0, paper: bool = False) -> Tensor:
    """[positions, width]: sines in the first half of a vector, cosines in the second, from position `first` on.

    The slowest turns 10,000 times slower than the quickest; as the `paper` has it, it would be the one after it.
    """
    half = (width + 1) // 2
    rates = torch.exp(torch.arange(half) * (-math.log(10_000) / (width / 2 if paper else max(half - 1, 1))))
    angles = torch.arange(first, first + positions)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]


class Sinusoids(nn.Module):
    """Fixed position vectors, in the place of a table that is learned."""

    def __init__(self, positions: int, width: int, *, first: int = 0, paper: bool = False) -> None:
        super().__init__()
        self.weight: Tensor
        self.register_buffer("weight", sinusoids(positions, width, first=first, paper=paper), persistent=False)


PositionVectors = nn.Embedding | Sinusoids


class Places(nn.Module):
    """What tells tokens apart by where they stand, and the norm of what comes of it."""

    def __init__(self, position: PositionVectors | None, norm: nn.Module | None) -> None:
        super().__init__()
        self.position, self.norm = position, norm


class TokenEmbedding(Part):
    """Token plus position vectors; also the projection onto the vocabulary."""

    def __init__(
        self,
        vocab_size: int,
        width: int,
        *,
        pad_id: int,
        positions: PositionVectors | None,
        norm: nn.Module | None = None,
        scale: float | Tensor = 1.0,
        tied: bool = True,
        output_bias: bool = False,
        serves_logits: bool = True,
        dropout: float = 0.0,
    ) -> None:
        """Token vectors are multiplied by `scale`, which is rounded as they are if it is a tensor. `positions` is None
        where attention knows them. The projection onto the vocabulary is tied to the token vectors or has a matrix of
        its own; `serves_logits` if serving needs it."""
        super().__init__()
        self.serves_logits = serves_logits
        self.scale: float | Tensor
        if isinstance(scale, Tensor):
            self.register_buffer("scale", scale, persistent=False)
        else:
            self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.token = nn.Embedding(vocab_size, width, padding_idx=pad_id)
        self.position, self.norm = positions, norm
        self.output: nn.Module | None = None if tied else nn.Linear(width, vocab_size, bias=False)
        self.output_bias = nn.Parameter(torch.empty(vocab_size)) if output_bias else None

    def replace_linears(self, make: MakeLinear) -> None:
        own = self.output
        if self.serves_logits and (own is None or isinstance(own, nn.Linear)):
            self.output = make((self.token if own is None else own).weight, None)

    def forward(self, tokens_BT: Tensor, positions_BT: Tensor, places: Places | None = None) -> Tensor:
        """Positions count from 0; -1 (a padding row) reads position 0. `places`: others than its own."""
        position, norm = (self.position, self.norm) if places is None else (places.position, places.norm)
        x_BTC = self.token(tokens_BT) * self.scale
        if position is not None:
            x_BTC = x_BTC + F.embedding(positions_BT.clamp(min=0), position.weight)
        return self.dropout(x_BTC if norm is None else norm(x_BTC))

    def sequence(self, tokens_BT: Tensor, places: Places | None = None) -> Tensor:
        """Vectors of whole sequences, from position 0 on."""
        return self(tokens_BT, torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None], places)

    def logits(self, x_C: Tensor) -> Tensor:
        """[..., V] from [..., C]."""
        logits = F.linear(x_C, self.token.weight) if self.output is None else self.output(x_C)
        return logits if self.output_bias is None else logits + self.output_bias


class FeedForward(Part):
    """Two projections with an activation between them."""

    blocks = 1  # that lie one below another in the first of them

    def __init__(self, width: int, hidden: int, activation: Callable[[Tensor], Tensor], *, bias: bool = True) -> None:
        super().__init__()
        self.width, self.hidden = width, hidden
        self.inner = nn.Linear(width, self.blocks * hidden, bias=bias)
        self.outer = nn.Linear(hidden, width, bias=bias)
        self.activation = activation

    def projections(self) -> Mapping[str, Blocks]:
        return {"inner": (("feedforward", self.hidden),) * self.blocks, "outer": (("feedforward", self.width),)}

    def forward(self, x_BTC: Tensor) -> Tensor:
        if x_BTC.device.type == "cpu" and x_BTC.shape[:-1].numel() > ROWS_AT_A_TIME and not torch.is_grad_enabled():
            some = x_BTC.flatten(0, -2).split(ROWS_AT_A_TIME)
            return torch.cat([self._transform(rows_RC) for rows_RC in some]).view_as(x_BTC)
        return self._transform(x_BTC)

    def _transform(self, x: Tensor) -> Tensor:
        return self.outer(self.activation(self.inner(x)))


class GatedFeedForward(FeedForward):
    """The activation of one projection, the gate, times another one: SwiGLU where it is SiLU (Shazeer 2020)."""

    blocks = 2  # the gate first

    def _transform(self, x: Tensor) -> Tensor:
        gate, up = self.inner(x).chunk(2, dim=-1)
        return self.outer(self.activation(gate) * up)


class Layer(nn.Module):
    """Residual sublayers in either norm order, each with a norm that `norm` makes: self-attention, cross-attention
    where a decoder has one, feed-forward."""

    def __init__(
        self,
        *,
        self_attention: SelfAttention,
        feedforward: FeedForward,
        cross_attention: CrossAttention | None = None,
        norm: Callable[[], nn.Module],
        norm_first: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.dropout = nn.Dropout(dropout)
        self.self_attention = self_attention
        self.self_norm = norm()
        self.feedforward = feedforward
        self.feedforward_norm = norm()
        self.cross_attention = cross_attention
        self.cross_norm = None if cross_attention is None else norm()

    def _enter(self, x: Tensor, norm: nn.Module) -> Tensor:
        """What a sublayer reads."""
        return norm(x) if self.norm_first else x

    def _leave(self, x: Tensor, out: Tensor, norm: nn.Module) -> Tensor:
        """What goes on, of a sublayer's input and output."""
        x = x + (self.dropout(out) if self.training else out)
        return x if self.norm_first else norm(x)

    def _feed_forward(self, x: Tensor) -> Tensor:
        norm = self.feedforward_norm
        return self._leave(x, self.feedforward(self._enter(x, norm)), norm)


class EncoderLayer(Layer):
    def forward(self, x_BSC: Tensor, mask: Tensor | Columns) -> Tensor:
        """[B, S, C], or packed tokens [T, C] with the columns that each attends to."""
        norm = self.self_norm
        x_BSC = self._leave(x_BSC, self.self_attention(self._enter(x_BSC, norm), mask=mask), norm)
        return self._feed_forward(x_BSC)


class DecoderLayer(Layer):
    """Causal: a token attends to itself and to those before it, as a `mask` says it where one is given."""

    def project_memory(self, memory_BSC: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-attention's keys and values [B, H, S, D] of the encoder's output."""
        assert self.cross_attention is not None, "only a layer with cross-attention reads an encoder's output"
        return self.cross_attention.project_memory(memory_BSC)

    def project_tokens(self, memory_TC: Tensor) -> Tensor:
        """The same [T, 2, H, D] of packed source tokens."""
        assert self.cross_attention is not None, "only a layer with cross-attention reads an encoder's output"
        return self.cross_attention.project_tokens(memory_TC)

    def forward(self, x_BTC: Tensor, memory: Memory | None = None, mask: Tensor | None = None) -> Tensor:
        out_BTC = self.self_attention(self._enter(x_BTC, self.self_norm), mask=mask, causal=mask is None)
        return self._go_on(x_BTC, out_BTC, memory)

    def alignment(self, x_BTC: Tensor, memory: Memory, mask: Tensor | None = None) -> Tensor:
        """[B, T, S]: the cross-attention's weights, as the mean of its heads, for the inputs of `forward`."""
        assert self.cross_attention is not None and self.cross_norm is not None  # noqa: PT018
        keys, _, memory_mask = memory
        assert isinstance(memory_mask, Tensor), "this is no decode step"
        out_BTC = self.self_attention(self._enter(x_BTC, self.self_norm), mask=mask, causal=mask is None)
        x_BTC = self._leave(x_BTC, out_BTC, self.self_norm)
        return self.cross_attention.weights(self._enter(x_BTC, self.cross_norm), keys, memory_mask)

    def prefill(
        self,
        x_BTC: Tensor,
        layer: int,
        slots_B: Tensor,
        cache: KeyValueCache,
        memory: Memory | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        out_BTC = self.self_attention.prefill(self._enter(x_BTC, self.self_norm), layer, slots_B, cache, mask)
        return self._go_on(x_BTC, out_BTC, memory)

    def extend(self, x_BTC: Tensor, layer: int, extension: Extension, cache: KeyValueCache) -> Tensor:
        out_BTC = self.self_attention.extend(self._enter(x_BTC, self.self_norm), layer, extension, cache)
        return self._go_on(x_BTC, out_BTC)

    def decode(
        self,
        x_BC: Tensor,
        layer: int,
        positions_B: Tensor,
        mask: Tensor | Columns,
        cache: KeyValueCache,
        memory: Memory | None = None,
    ) -> Tensor:
        out_BC = self.self_attention.decode(self._enter(x_BC, self.self_norm), layer, positions_B, mask, cache)
        return self._go_on(x_BC, out_BC, memory, cache)

    def _go_on(
        self, x: Tensor, out: Tensor, memory: Memory | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """The layer's output, of its input and what self-attention made of that; with a cache as one decode step."""
        return self._feed_forward(self._read(self._leave(x, out, self.self_norm), memory, cache))

    def _read(self, x: Tensor, memory: Memory | None, cache: KeyValueCache | None = None) -> Tensor:
        """Cross-attention, where the layer has it; with a cache as one decode step."""
        cross, norm = self.cross_attention, self.cross_norm
        if cross is None or norm is None:
            return x
        assert memory is not None, "a layer with cross-attention needs the encoder's keys and values"
        entered = self._enter(x, norm)
        out = cross(entered, *memory) if cache is None else cross.decode(entered, *memory, cache.sharing)
        return self._leave(x, out, norm)


class Sandwich(nn.Module):
    """The norms of what a sublayer reads and of what it gives (Ding et al. 2021, "CogView")."""

    def __init__(self, norm: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.before, self.after = norm(), norm()


class SandwichLayer(DecoderLayer):
    """Its norms are `Sandwich`es."""

    def _enter(self, x: Tensor, norm: nn.Module) -> Tensor:
        return norm.before(x)  # type: ignore[operator]

    def _leave(self, x: Tensor, out: Tensor, norm: nn.Module) -> Tensor:
        return super()._leave(x, norm.after(out), norm)  # type: ignore[operator]


class ParallelLayer(DecoderLayer):
    """Both sublayers read the layer's input (Wang and Komatsuzaki 2021, "GPT-J-6B")."""

    def _go_on(
        self, x: Tensor, out: Tensor, memory: Memory | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        assert self.norm_first and memory is None, "it has no other order of norms, and reads no source"  # noqa: PT018
        fed = self.feedforward(self._enter(x, self.feedforward_norm))
        return self._leave(self._leave(x, out, self.self_norm), fed, self.feedforward_norm)


class Stack(nn.ModuleList, Generic[L]):
    """A ModuleList that knows the type of its layers."""

    def __iter__(self) -> Iterator[L]:
        return cast(Iterator[L], super().__iter__())


def reset_normal(model: nn.Module, residual: float = 1) -> None:
    """Matrices normal with 0.02, biases zero, as BERT and Llama on Hugging Face have it; projections into the residual
    stream with 0.02 / `residual`, which for GPT-2 is sqrt(2 * layers)."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            into_residual = name.endswith(("self_attention.output.weight", "feedforward.outer.weight"))
            nn.init.normal_(parameter, std=0.02 / (residual if into_residual else 1))
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def reset_xavier(model: nn.Module, embedding: TokenEmbedding) -> None:
    """Matrices by Xavier (the implementation of Vaswani et al.), biases zero; embeddings, but for the padding's vector,
    and what scores energies normal with width ** -0.5."""
    for name, parameter in model.named_parameters():
        if "embedding" in name or name.endswith("energy"):
            nn.init.normal_(parameter, std=embedding.token.embedding_dim**-0.5)
        elif parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    with torch.no_grad():
        embedding.token.weight[embedding.token.padding_idx].zero_()
