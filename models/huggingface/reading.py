"""A directory of Hugging Face's layout as a checkpoint of ours, from memory to memory: nothing is written."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import tokenizers
import torch
from torch import nn

from models.architectures import build
from models.checkpoint import MANIFEST, Checkpoint, CheckpointError, Manifest
from models.config import BertConfig, ConfigError
from models.huggingface.card import card_of
from models.huggingface.directory import CONFIG, Directory
from models.huggingface.families import FAMILIES
from models.huggingface.family import Assembled, Family, Special
from models.huggingface.fields import Fields
from models.huggingface.framing import around_texts, between_languages, languages_in, told
from models.huggingface.rules import fill
from models.huggingface.tensors import Tensors
from models.huggingface.vocabulary import SETTINGS, named_tokens, settings_of, vocabulary_of
from models.threads import serial
from models.tokenizer import Tokenizer

GENERATION = "generation_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
MOST_NAME = 63


def family_of(directory: Directory) -> tuple[Family, str]:
    """And what the model is made to do. Raises CheckpointError for one that nobody here knows."""
    values, path = directory.json(CONFIG), directory.path / CONFIG
    kind, names = values.get("model_type"), values.get("architectures")
    if kind is None:
        raise CheckpointError(f"{path}: has no model_type, and no manifest.json is beside it: it is of no model")
    if kind not in FAMILIES:
        raise CheckpointError(f"{path}: model_type is {kind!r}, known are {', '.join(FAMILIES)}")
    family = FAMILIES[kind]
    tasks = [family.tasks[name] for name in names or () if name in family.tasks]
    if not tasks:
        raise CheckpointError(f"{path}: architectures is {names!r}, expected one of {', '.join(family.tasks)}")
    return family, tasks[0]


def assembled(directory: Directory, family: Family) -> Assembled:
    """Raises CheckpointError."""
    fields = Fields(directory.json(CONFIG), directory.path / CONFIG)
    try:
        found = family.assemble(fields, special_tokens(directory))
    except ConfigError as error:
        raise CheckpointError(f"{directory.path / CONFIG}: {error}") from error
    fields.done()
    return found


def model_of(directory: Directory, found: Assembled) -> nn.Module:
    """With its weights, each in the number format that it has there. Raises CheckpointError."""
    model = build(found.config, empty=True)
    tensors = Tensors(directory)
    tensors.with_prefix(found.prefix)
    fill(model, found.rules, tensors, tied=found.tied, unused=found.unused)
    return model.eval()


def special_tokens(directory: Directory) -> Special:
    """What decoding goes by: generation_config.json where there is one, as `generate` of transformers has it."""
    values = {**directory.json(CONFIG), **{k: v for k, v in directory.json(GENERATION).items() if v is not None}}

    def ids(name: str) -> tuple[int, ...]:
        given: Any = values.get(name)
        found = given if isinstance(given, list) else [] if given is None else [given]
        if not all(type(each) is int and each >= 0 for each in found):
            raise CheckpointError(f"{directory.path / CONFIG}: {name} is {given!r}, expected ids of tokens")
        return tuple(found)

    start, pad = ids("decoder_start_token_id") or ids("bos_token_id"), ids("pad_token_id")
    return Special(start=start[0] if start else None, ends=ids("eos_token_id"), pad=pad[0] if pad else None)


def read_manifest(path: Path | str) -> Manifest:
    """What can be said of the directory without its weights. Raises CheckpointError."""
    directory = Directory(path)
    family, task = family_of(directory)
    return _manifest(directory, family, assembled(directory, family), task, vocabulary_of(directory))


def holds_model(path: Path) -> bool:
    """Whether there is one, sound or not."""
    return (path / CONFIG).is_file() and not (path / MANIFEST).is_file()


@serial()
def load(path: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Checkpoint:
    """As `models.checkpoint.load`. Raises CheckpointError."""
    found = read(path)
    return replace(found, model=found.model.to(device, dtype).eval())


def read(path: Path | str) -> Checkpoint:
    """On the CPU, each weight in the number format that it has there. Raises CheckpointError."""
    directory = Directory(path)
    family, task = family_of(directory)
    found, inner = assembled(directory, family), vocabulary_of(directory)
    manifest = _manifest(directory, family, found, task, inner)
    return Checkpoint(found.config, model_of(directory, found), Tokenizer(inner, foreign=True), manifest)


def _manifest(
    directory: Directory, family: Family, found: Assembled, task: str, inner: tokenizers.Tokenizer
) -> Manifest:
    card, template = card_of(directory), _chat_template(directory) if task == "generate" else ""
    segments = found.config.segments if isinstance(found.config, BertConfig) else 1
    format = told(around_texts(inner), settings_of(directory), named_tokens(directory), segments)
    languages: dict[str, str] = {}
    if task == "translate":
        languages = languages_in(inner, family.language_tokens)
        if not languages:
            raise CheckpointError(f"{directory.path}: nothing says which languages it translates: it is not served yet")
        format = between_languages(format, languages)
    else:
        format = replace(format, begins=_forced(directory, inner))
    return Manifest(
        name=name_of(directory.path),
        architecture=found.config.architecture,
        task=task,
        language_pairs=tuple(itertools.permutations(languages, 2)),
        labels=_labels(directory) if task == "classify" else (),
        score_function=_score_function(directory) if task == "classify" else "",
        takes_pairs=task == "classify",
        chat_template=template,
        format=replace(format, named=named_tokens(directory) if template else {}, ends=_other_ends(directory, inner)),
        licence=card.licence,
        attribution=card.source,
    )


def _other_ends(directory: Directory, inner: tokenizers.Tokenizer) -> tuple[str, ...]:
    """All but the first, which is the config's."""
    return tuple(_named(directory, inner, "eos_token_id", id) for id in special_tokens(directory).ends[1:])


def _forced(directory: Directory, inner: tokenizers.Tokenizer) -> tuple[str, ...]:
    """The token that every output begins with, if there is one."""
    values = {**directory.json(CONFIG), **directory.json(GENERATION)}
    id = values.get("forced_bos_token_id") if values.get("is_encoder_decoder") else None
    return () if id is None else (_named(directory, inner, "forced_bos_token_id", id),)


def _named(directory: Directory, inner: tokenizers.Tokenizer, field: str, id: Any) -> str:
    name = inner.id_to_token(id) if isinstance(id, int) else None
    if name is None:
        raise CheckpointError(f"{directory.path}: {field} has {id!r}, which is no token of the vocabulary")
    return str(name)


def name_of(path: Path) -> str:
    """A name for a model, of the directory's; of a snapshot in the cache of huggingface_hub, of its repository's."""
    home = path.resolve()
    if home.parent.name == "snapshots":
        home = home.parent.parent
    found = re.sub("[^a-z0-9._-]+", "-", home.name.rpartition("--")[2].lower()).strip("-._")
    return found[:MOST_NAME] or "model"


def _labels(directory: Directory) -> tuple[str, ...]:
    """In the order of the outputs."""
    values = directory.json(CONFIG)
    named = values.get("id2label") or {str(each): f"LABEL_{each}" for each in range(values.get("num_labels") or 2)}
    names = [named.get(str(each)) for each in range(len(named))] if isinstance(named, dict) else []
    if not names or not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise CheckpointError(f"{directory.path / CONFIG}: id2label is {named!r}, expected a name for each output")
    return tuple(map(str, names))


def _score_function(directory: Directory) -> str:
    """What makes scores of the outputs, as the pipeline of transformers chooses it."""
    values = directory.json(CONFIG)
    kind = values.get("problem_type")
    if kind == "regression":
        return "none"
    return "sigmoid" if kind == "multi_label_classification" or len(_labels(directory)) == 1 else "softmax"


def _chat_template(directory: Directory) -> str:
    """The one that is for conversations without tools, where there are several."""
    if directory.has(CHAT_TEMPLATE):
        return directory.text(CHAT_TEMPLATE)
    given = directory.json(SETTINGS).get("chat_template")
    if isinstance(given, list):
        named = {each.get("name"): each.get("template") for each in given if isinstance(each, dict)}
        given = named.get("default")
    if given is not None and not isinstance(given, str):
        raise CheckpointError(f"{directory.path / SETTINGS}: chat_template is {given!r}, expected a text")
    return given or ""
