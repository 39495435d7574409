"""What is measured: four models, the prompts they get, and the goals that ratios to the peers are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loadtests.bench.jobs import Ids, Job, Room, padded
from models import formats, opening
from models.architectures import build
from models.checkpoint import Checkpoint
from models.config import BertConfig, GPTConfig, Seq2SeqConfig
from models.interface import Prompts
from models.registry import Registry
from models.shortlist import Translations

DATA = Path(__file__).resolve().parent.parent / "data"
SHIPPED = Path(__file__).resolve().parents[2] / "models" / "checkpoints"
SENTENCES, TEXTS = DATA / "sentences.fr-en.tsv", DATA / "texts.tsv"
BEAMS = 4

OPUS = Seq2SeqConfig(
    vocab_size=32001, width=512, heads=8, feedforward=2048, encoder_layers=6, decoder_layers=6, max_source=64
)
GPT2_SMALL = GPTConfig(vocab_size=50257, width=768, heads=12, feedforward=3072, layers=12)
BERT_BASE: dict[str, Any] = {"width": 768, "heads": 12, "feedforward": 3072, "layers": 12}
SOURCE, PROMPT = 32, 128  # tokens of random prompts


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line chooses."""

    batches: Sequence[int] = (1, 8, 32)
    tokens: int = 64  # of each output, where weights are random
    beams: bool = True  # beam search, too
    sentences: Path = SENTENCES  # source<TAB>target
    pair: Sequence[str] = ("fr", "en")  # languages of source and target
    texts: Path = TEXTS  # the last column is read
    limit: int | None = 256  # lines of a file
    model: Path | None = None  # a directory, of a checkpoint or a published model, instead of the workload's own
    candidates: int | None = None  # that a random table gives for a prompt, where weights are random; None: no table


@dataclass(frozen=True, kw_only=True)
class Workload:
    name: str
    title: str
    model: Any  # ours, float32
    jobs: Sequence[Job]
    unit: str  # what is counted in a second: tokens or texts
    references: Sequence[str] = ()  # translations of the prompts by people, for BLEU
    answers: Sequence[int] = ()  # right labels of the prompts, for accuracy
    checkpoint: Checkpoint | None = None
    table: Translations | None = None  # of tokens that translate those of a prompt: contenders run with it, too
    goals: dict[tuple[str, str, int], float] = field(default_factory=dict)  # (peer, search, batch) -> ratio to reach

    @property
    def room(self) -> Room:
        return Room(
            prompt_tokens=max(len(prompt) for job in self.jobs for prompt in job.prompts),
            new_tokens=max(job.max_new_tokens for job in self.jobs),
        )

    def count(self, job: Job) -> int:
        return len(job.prompts) * (job.max_new_tokens if self.unit == "tokens" else 1)

    def texts(self, outputs: list[Ids]) -> list[str]:
        assert self.checkpoint is not None, "random weights say nothing readable"
        return [self.checkpoint.tokenizer.decode(output) for output in outputs]


def workloads(names: Sequence[str], options: Options) -> list[Workload]:
    """`d` is two: the shipped classifier and one of BERT's size. Raises ValueError for a model that is not of a
    workload's architecture, CheckpointError for one that is not sound."""
    makers = {"a": (_shipped_translator,), "b": (_opus,), "c": (_gpt2,), "d": (_shipped_classifier, _bert)}
    if options.model is not None:
        makers["d"] = (_given_classifier,)
    return [maker(options) for name in names for maker in makers[name]]


def _goals(peer: str, search: str, values: Sequence[float]) -> dict[tuple[str, str, int], float]:
    return {(peer, search, batch): value for batch, value in zip((1, 8, 32), values, strict=True)}


def _shipped_translator(options: Options) -> Workload:
    checkpoint = _given(options, "seq2seq") or shipped("translator")
    rows = read(options.sentences, options.limit)
    prompts = [formats.translation_source(checkpoint.tokenizer, row[0], options.pair[1]) for row in rows]
    shortlist, called = checkpoint.shortlist, _called(options, "shipped translator")
    return Workload(
        name="a",
        title=f"{called}, {'→'.join(options.pair)}, {len(rows)} sentences of {options.sentences.name}",
        model=checkpoint.model,
        jobs=[
            Job(prompts=prompts, in_flight=batch, max_new_tokens=128, exact=False, beams=beams)
            for beams in _widths(options)
            for batch in options.batches
        ],
        unit="texts",
        references=[formats.normalize(row[1]) for row in rows],
        checkpoint=checkpoint,
        table=None if shortlist is None else shortlist.languages.get(options.pair[1]),
        goals=_goals("ctranslate2", "greedy", (1.3, 1.5, 1.5))
        | _goals("ctranslate2", f"beam {BEAMS}", (1.2, 1.3, 1.3)),
    )


def _opus(options: Options) -> Workload:
    given = _given(options, "seq2seq")
    model = _talkative(random_model(OPUS)) if given is None else given.model
    return Workload(
        name="b",
        title=f"{_called(options, 'OPUS-MT-sized translator, random weights')}, {SOURCE} tokens to {options.tokens}",
        model=model,
        jobs=_random_jobs(options, model.config.vocab_size, SOURCE, _widths(options)),
        unit="tokens",
        table=_random_table(options.candidates, model.config.vocab_size),
        goals=_goals("ctranslate2", "greedy", (2.5, 2.5, 2.0)) | _goals("transformers", "greedy", (4, 3, 2.5)),
    )


@torch.no_grad()
def _talkative(model: Any) -> Any:
    """Weights as they are initialized say one token for ever, whatever the source, and then agreement says nothing: the
    output projection is the embedding, so that a token's own vector wins. Feed-forward layers that outweigh it, without
    what they add to every token alike, give outputs that differ from source to source and from token to token."""
    for layer in model.decoder:
        outer = layer.feedforward.outer.weight
        outer -= outer.mean(dim=1, keepdim=True)
        outer *= 20
    return model


def _gpt2(options: Options) -> Workload:
    given = _given(options, "gpt")
    model = random_model(GPT2_SMALL) if given is None else given.model
    return Workload(
        name="c",
        title=f"{_called(options, 'GPT-2 small, random weights')}, prompts of {PROMPT} tokens, {options.tokens} more",
        model=model,
        jobs=_random_jobs(options, model.config.vocab_size, PROMPT, (1,)),
        unit="tokens",
        goals=_goals("ctranslate2", "greedy", (2.2, 2.2, 2.0)),
    )


def _given(options: Options, architecture: str) -> Checkpoint | None:
    if options.model is None:
        return None
    found = opening.load(options.model)
    if found.config.architecture != architecture:
        raise ValueError(f"{options.model} is of {found.config.architecture}, the workload's models are {architecture}")
    return found


def _called(options: Options, otherwise: str) -> str:
    return otherwise if options.model is None else options.model.name


def _given_classifier(options: Options) -> Workload:
    found = _given(options, "bert")
    assert found is not None, "asked for"
    workload = _classifier("d", _called(options, ""), found, options)
    return replace(workload, answers=_answers(read(options.texts, options.limit)))


def _shipped_classifier(options: Options) -> Workload:
    workload = _classifier("d", "shipped classifier", shipped("classifier"), options)
    return replace(workload, answers=_answers(read(options.texts, options.limit)))


def _answers(rows: Sequence[Sequence[str]]) -> list[int]:
    """The labels' numbers in front of the texts, where they are there."""
    return [int(row[0]) for row in rows] if all(len(row) > 1 and row[0].isdecimal() for row in rows) else []


def _bert(options: Options) -> Workload:
    own = shipped("classifier")
    model = random_model(BertConfig(vocab_size=own.config.vocab_size, **BERT_BASE))
    sized = replace(own, config=model.config, model=model)
    workload = _classifier("d-base", "BERT-base-sized classifier, random weights", sized, options, goal=1.2)
    _split_labels(workload.model, workload.jobs[0].prompts[:16])
    return workload


@torch.inference_mode()
def _split_labels(model: Any, prompts: Sequence[Ids]) -> None:
    """Move the head's bias so that half of the texts get each label: random weights give all of them the same one,
    and then agreement would say nothing."""
    ids, _ = padded(prompts, model.config.pad_id)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    logits = model(Prompts(tokens_BS=torch.tensor(ids), lengths_B=lengths))
    leads = (logits[:, 1] - logits[:, 0]).sort().values
    middle = len(prompts) // 2
    model.classifier.bias[0] += leads[middle - 1 : middle + 1].mean()  # between two texts: none is on the line


def _classifier(name: str, title: str, checkpoint: Checkpoint, options: Options, goal: float = 1.3) -> Workload:
    """`goal`: times CTranslate2's best."""
    rows = read(options.texts, options.limit)
    format = checkpoint.manifest.format or formats.CLASSIFICATION
    prompts = [format.pair(checkpoint.tokenizer, row[-1])[0][: checkpoint.config.max_prompt] for row in rows]
    batch = max(options.batches)
    return Workload(
        name=name,
        title=f"{title}, {len(rows)} texts of {options.texts.name}",
        model=checkpoint.model,
        jobs=[Job(prompts=prompts, in_flight=batch, max_new_tokens=1, exact=True)],
        unit="texts",
        goals={("ctranslate2", "greedy", 32): goal},
    )


def _widths(options: Options) -> tuple[int, ...]:
    return (1, BEAMS) if options.beams else (1,)


def _random_jobs(options: Options, vocabulary: int, length: int, widths: Sequence[int]) -> list[Job]:
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(3, vocabulary, (max(options.batches), length), generator=generator).tolist()
    return [
        Job(prompts=prompts[:batch], in_flight=batch, max_new_tokens=options.tokens, exact=True, beams=beams)
        for beams in widths
        for batch in options.batches
    ]


def _random_table(candidates: int | None, vocabulary: int) -> Translations | None:
    """About so many for a prompt of SOURCE tokens: a third, which are always allowed, the prompt's own tokens, and as
    many for each of these. Raises ValueError for fewer than that needs."""
    if candidates is None:
        return None
    each = (candidates - candidates // 3) // SOURCE - 1
    if not 3 * SOURCE <= candidates <= vocabulary:
        raise ValueError(f"candidates is {candidates}, expected {3 * SOURCE} to the vocabulary's {vocabulary}")
    chance = np.random.default_rng(0)
    return Translations(
        tokens=np.sort(chance.integers(vocabulary, size=(vocabulary, each), dtype=np.int32)).ravel(),
        ends=np.arange(1, vocabulary + 1) * each,
        always=np.sort(chance.choice(vocabulary, candidates - SOURCE * (1 + each), replace=False).astype(np.int32)),
    )


def random_model(config: Any) -> Any:
    torch.manual_seed(0)
    return build(config).eval()


def shipped(name: str) -> Checkpoint:
    return Registry(SHIPPED).load(name)


def read(path: Path, limit: int | None = None) -> list[list[str]]:
    """Rows of a tab-separated file without a header; empty lines are left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [line.split("\t") for line in lines[:limit]]
