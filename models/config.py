"""One frozen dataclass per architecture: what is needed to build the module, and nothing about its weights' values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, Self

Norm = Literal["pre", "post"]
Positions = Literal["sinusoidal", "learned"]
Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
Kind = Literal["encoder_decoder", "decoder", "encoder"]


class ConfigError(ValueError):
    """A configuration that no model can be built from; the message quotes the value and the limit."""


@dataclass(frozen=True, kw_only=True)
class CacheShape:
    """What a slot of the key/value cache holds for an architecture. `layers == 0`: nothing."""

    layers: int
    heads: int  # key/value heads
    head_width: int
    cross: bool = False  # the prompt is a source that decoders attend to across; its keys and values are kept apart

    def prefilled(self, prompt_tokens: int, prefix_tokens: int = 0) -> int:
        """Positions a slot holds after prefill: start token and target prefix where the prompt went to the memory."""
        return 1 + prefix_tokens if self.cross else prompt_tokens


@dataclass(frozen=True, kw_only=True)
class _Config:
    """Fields every architecture has."""

    architecture: ClassVar[str]
    kind: ClassVar[Kind]  # which tasks it can be made to do depends on this alone

    vocab_size: int
    width: int  # of a token's vector
    heads: int  # of attention; divides width
    feedforward: int  # hidden width of the feed-forward sublayer
    dropout: float = 0.1  # in training only
    norm: Norm = "pre"  # layer norm before each sublayer (and once at the end), or after each residual sum
    norm_epsilon: float = 1e-5
    pad_id: int = 0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "width", "heads", "feedforward"):
            self._at_least(name, 1)
        if self.width % self.heads:
            raise ConfigError(f"width {self.width} is not a multiple of heads {self.heads}: heads split it evenly")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}, expected 0 <= dropout < 1")
        if self.norm not in ("pre", "post"):
            raise ConfigError(f"norm is {self.norm!r}, expected 'pre' or 'post'")
        self._token("pad_id")

    def _at_least(self, name: str, least: int) -> None:
        if getattr(self, name) < least:
            raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}")

    def _token(self, name: str) -> None:
        if not 0 <= getattr(self, name) < self.vocab_size:
            raise ConfigError(f"{name} is {getattr(self, name)}, outside the vocabulary of {self.vocab_size}")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def to_dict(self) -> dict[str, Any]:
        return {"architecture": self.architecture, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises ConfigError on a field the architecture does not have, or one it needs and does not get."""
        given = {name: value for name, value in values.items() if name != "architecture"}
        unknown = sorted(given.keys() - {f.name for f in fields(cls)})
        if unknown:
            raise ConfigError(f"{cls.architecture} has no field {', '.join(map(repr, unknown))}")
        try:
            return cls(**given)
        except TypeError as error:
            raise ConfigError(f"{cls.architecture}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Seq2SeqConfig(_Config):
    """Encoder-decoder Transformer (Vaswani et al. 2017, "Attention is all you need")."""

    architecture: ClassVar[str] = "seq2seq"
    kind: ClassVar[Kind] = "encoder_decoder"

    encoder_layers: int
    decoder_layers: int
    max_source: int = 256  # source tokens, end token and tags included
    max_target: int = 256  # target tokens, start token included
    positions: Positions = "sinusoidal"
    activation: Activation = "relu"
    tied_embeddings: bool = True  # source, target and output share one matrix
    scale_embeddings: bool = True  # token vectors times sqrt(width)
    start_id: int = 1  # the decoder's first input
    end_id: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("encoder_layers", "decoder_layers", "max_source", "max_target"):
            self._at_least(name, 1)
        self._token("start_id")
        self._token("end_id")

    @property
    def cache_shape(self) -> CacheShape:
        return CacheShape(layers=self.decoder_layers, heads=self.heads, head_width=self.head_width, cross=True)

    @property
    def max_prompt(self) -> int:
        return self.max_source

    @property
    def max_output(self) -> int:
        return self.max_target - 1  # the start token takes a place


@dataclass(frozen=True, kw_only=True)
class GPTConfig(_Config):
    """Decoder-only Transformer (Radford et al. 2019, GPT-2)."""

    architecture: ClassVar[str] = "gpt"
    kind: ClassVar[Kind] = "decoder"

    layers: int
    context: int = 1024  # tokens a sequence may have, prompt included
    activation: Activation = "gelu_tanh"
    tied_embeddings: bool = True
    start_id: int = 1  # put before every prompt
    end_id: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least("layers", 1)
        self._at_least("context", 2)
        self._token("start_id")
        self._token("end_id")

    @property
    def cache_shape(self) -> CacheShape:
        return CacheShape(layers=self.layers, heads=self.heads, head_width=self.head_width)

    @property
    def max_prompt(self) -> int:
        return self.context - 1

    @property
    def max_output(self) -> int:
        return self.context - 1


@dataclass(frozen=True, kw_only=True)
class BertConfig(_Config):
    """Encoder-only Transformer (Devlin et al. 2019, BERT)."""

    architecture: ClassVar[str] = "bert"
    kind: ClassVar[Kind] = "encoder"

    layers: int
    labels: int = 2  # outputs of the classification head
    max_positions: int = 512  # tokens of a text or pair, special tokens included
    segments: int = 2  # token types: first and second text
    norm: Norm = "post"
    norm_epsilon: float = 1e-12
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "labels", "max_positions", "segments"):
            self._at_least(name, 1)

    @property
    def cache_shape(self) -> CacheShape:
        return CacheShape(layers=0, heads=self.heads, head_width=self.head_width)

    @property
    def max_prompt(self) -> int:
        return self.max_positions

    @property
    def max_output(self) -> int:
        return 1  # one choice among the labels


Config = Seq2SeqConfig | GPTConfig | BertConfig

LORA_TARGETS = ("query", "key", "value", "output", "feedforward")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters beside a model's linear layers (Hu et al. 2021); `models.lora` builds them."""

    rank: int = 8
    alpha: float = 16.0  # the adapters' outputs are scaled by alpha / rank
    targets: tuple[str, ...] = ("query", "value")  # which projections of attention, feedforward layers, or all
    dropout: float = 0.0  # of what the adapters read, in training only

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"rank is {self.rank}, expected at least 1")
        if not 0 < self.alpha < float("inf"):
            raise ConfigError(f"alpha is {self.alpha}, expected a number above 0")
        unknown = [target for target in self.targets if target not in (*LORA_TARGETS, "all")]
        if unknown or not self.targets:
            raise ConfigError(
                f"targets is {list(self.targets)}, expected some of {', '.join(LORA_TARGETS)}, or all alone"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}, expected 0 <= dropout < 1")

    @property
    def adapted(self) -> tuple[str, ...]:
        """The targets, written out."""
        return LORA_TARGETS if "all" in self.targets else self.targets
