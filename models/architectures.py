"""Name -> (config class, model class): the one place that knows which architectures exist."""

from __future__ import annotations

from typing import Any

from torch import nn

from models.bert import Bert
from models.config import BertConfig, Config, ConfigError, GPTConfig, Seq2SeqConfig
from models.gpt import GPT
from models.llama import Llama, LlamaConfig
from models.recurrent import Recurrent, RecurrentConfig
from models.seq2seq import Seq2Seq

ARCHITECTURES: dict[str, tuple[type[Config], type[nn.Module]]] = {
    "seq2seq": (Seq2SeqConfig, Seq2Seq),
    "recurrent": (RecurrentConfig, Recurrent),
    "gpt": (GPTConfig, GPT),
    "llama": (LlamaConfig, Llama),
    "bert": (BertConfig, Bert),
}


def config_from_dict(values: dict[str, Any]) -> Config:
    """Read `architecture` and that architecture's fields. Raises ConfigError."""
    name = values.get("architecture")
    if name not in ARCHITECTURES:
        raise ConfigError(f"architecture is {name!r}, known are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name][0].from_dict(values)


def build(config: Config) -> nn.Module:
    """A freshly initialized model."""
    return ARCHITECTURES[config.architecture][1](config)
