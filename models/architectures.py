"""Name -> (config class, model class): the one place that knows which architectures exist."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from models.bert import Bert
from models.config import BertConfig, Config, ConfigError, GPTConfig, Seq2SeqConfig
from models.deberta import Deberta, DebertaConfig
from models.gpt import GPT
from models.llama import Llama, LlamaConfig
from models.neox import NeoX, NeoXConfig
from models.recurrent import Recurrent, RecurrentConfig
from models.seq2seq import Seq2Seq
from models.t5 import T5, T5Config

ARCHITECTURES: dict[str, tuple[type[Config], type[nn.Module]]] = {
    "seq2seq": (Seq2SeqConfig, Seq2Seq),
    "t5": (T5Config, T5),
    "recurrent": (RecurrentConfig, Recurrent),
    "gpt": (GPTConfig, GPT),
    "llama": (LlamaConfig, Llama),
    "neox": (NeoXConfig, NeoX),
    "bert": (BertConfig, Bert),
    "deberta": (DebertaConfig, Deberta),
}


def config_from_dict(values: dict[str, Any]) -> Config:
    """Read `architecture` and that architecture's fields. Raises ConfigError."""
    name = values.get("architecture")
    if name not in ARCHITECTURES:
        raise ConfigError(f"architecture is {name!r}, known are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name][0].from_dict(values)


def build(config: Config, *, empty: bool = False) -> nn.Module:
    """A freshly initialized model; `empty`: its parameters are on the device meta, for somebody to assign them."""
    with _Empty() if empty else nullcontext():
        return ARCHITECTURES[config.architecture][1](config)


class _Empty(TorchFunctionMode):
    """Parameters are made with `torch.empty`, buffers, which no file holds, with other functions.

    Nothing is drawn for parameters: PyTorch imports its compiler for that, 70 MB that stay in the process.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", None) in _DRAWING:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **{**kwargs, **({"device": "meta"} if func is torch.empty else {})})


_DRAWING = {"normal_", "uniform_", "kaiming_uniform_"}  # of torch.nn.init and of tensors; what else draws calls these
