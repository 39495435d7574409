"""Tiny checkpoints with random weights: real in every part but what they know."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.architectures import build
from models.checkpoint import Adapter, Checkpoint, Manifest, load, save
from models.config import BertConfig, Config, GPTConfig, LoraConfig, Seq2SeqConfig
from models.llama import LlamaConfig
from models.lora import LowRank, attach, freeze_all_but_adapters
from models.recurrent import RecurrentConfig
from models.registry import Registry
from models.tokenizer import SPECIAL_TOKENS, Tokenizer, train_byte_bpe, train_wordpiece
from service.worker.tasks import task_for
from service.worker.tasks.task import Limits, WorkerTask

TEXTS = [
    "Je suis fatigué.", "Où est la gare ?", "I am tired.", "Where is the station?", "나는 피곤하다.", "역이 어디예요?",
    "정말 재미있는 영화였어요", "배우들의 연기가 아쉽다", "시간 가는 줄 몰랐다 👍", "돈이 아깝다",
]  # fmt: skip
EVERYTHING = LoraConfig(rank=3, alpha=6, targets=("all",))
SIZE = {"width": 32, "heads": 4, "feedforward": 64}


PAIRS = (("fr", "en"), ("en", "fr"), ("ko", "en"))


def translator(directory: Path, max_length: int = 48) -> Checkpoint:
    tokenizer = train_byte_bpe(TEXTS, 320, special_tokens=(*SPECIAL_TOKENS, "<2en>", "<2fr>"))
    config = Seq2SeqConfig(
        vocab_size=tokenizer.vocab_size, encoder_layers=2, decoder_layers=2, max_source=max_length,
        max_target=max_length, **SIZE,
    )  # fmt: skip
    manifest = Manifest(name="translator", architecture="seq2seq", task="translate", version=1, language_pairs=PAIRS)
    return _saved(directory, config, tokenizer, manifest)


def recurrent(directory: Path, max_length: int = 48, **fields: Any) -> Checkpoint:
    """A translator, too."""
    tokenizer = train_byte_bpe(TEXTS, 320, special_tokens=(*SPECIAL_TOKENS, "<2en>", "<2fr>"))
    config = RecurrentConfig(
        vocab_size=tokenizer.vocab_size, width=32, max_source=max_length, max_target=max_length, **fields
    )
    manifest = Manifest(name="recurrent", architecture="recurrent", task="translate", version=1, language_pairs=PAIRS)
    return _saved(directory, config, tokenizer, manifest)


def generator(directory: Path, context: int = 64) -> Checkpoint:
    tokenizer = train_byte_bpe(TEXTS, 320, control_tokens=("<rating:1>", "<rating:9>"))
    config = GPTConfig(vocab_size=tokenizer.vocab_size, layers=2, context=context, **SIZE)
    manifest = Manifest(name="generator", architecture="gpt", task="generate", version=1)
    return _saved(directory, config, tokenizer, manifest)


def llama(directory: Path, context: int = 64) -> Checkpoint:
    """A generator, too."""
    tokenizer = train_byte_bpe(TEXTS, 320, control_tokens=("<rating:1>", "<rating:9>"))
    config = LlamaConfig(vocab_size=tokenizer.vocab_size, layers=2, kv_heads=2, context=context, **SIZE)
    manifest = Manifest(name="llama", architecture="llama", task="generate", version=1)
    return _saved(directory, config, tokenizer, manifest)


def classifier(directory: Path, max_positions: int = 64) -> Checkpoint:
    tokenizer = train_wordpiece(TEXTS, 200)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size, layers=2, labels=2, max_positions=max_positions, pad_id=0, **SIZE
    )
    manifest = Manifest(
        name="classifier", architecture="bert", task="classify", version=1, labels=("negative", "positive")
    )
    return _saved(directory, config, tokenizer, manifest)


def task_of(checkpoint: Checkpoint, limits: Limits) -> WorkerTask:
    """What a worker does with it."""
    _, task = task_for(checkpoint.manifest)
    return task(checkpoint.tokenizer, checkpoint.config, checkpoint.manifest, limits)


def registry(root: Path, context: int = 64) -> Path:
    """A registry that holds what is served where nobody names models; the generator has room for `context` tokens."""
    made = {
        "translator": translator(root / "translator"),
        "generator": generator(root / "generator", context),
        "classifier": classifier(root / "classifier"),
    }
    for name in made:
        Registry(root / "registry").publish(name, root / name)
    return root / "registry"


def shaken(model: nn.Module, seed: int = 3) -> nn.Module:
    """With adapters that say something."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LowRank):
                module.up.copy_(torch.randn_like(module.up) * 0.2)
    return model


def beside(directory: Path, base: Checkpoint, reference: str, name: str) -> nn.Module:
    """Adapters for a checkpoint that a registry has as `reference`, kept beside it; the model that has them."""
    model = copy.deepcopy(base.model)
    torch.manual_seed(2)
    attach(model, EVERYTHING)
    freeze_all_but_adapters(shaken(model))
    adapter = Adapter(base=reference, base_sha256=base.manifest.weights_sha256, lora=EVERYTHING)
    manifest = dataclasses.replace(base.manifest, name=name, version=0, adapter=adapter)
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    save(directory, model=model, tokenizer=base.tokenizer, manifest=manifest, dtype=torch.float32, learned=learned)
    return model


def _saved(directory: Path, config: Config, tokenizer: Tokenizer, manifest: Manifest) -> Checkpoint:
    torch.manual_seed(0)
    model = build(config)
    _shake(model)
    save(directory, model=model, tokenizer=tokenizer, manifest=manifest, dtype=torch.float32)
    return load(directory)


def _shake(model: nn.Module) -> None:
    """Spread the weights, so that different texts get clearly different outputs."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
