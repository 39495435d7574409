"""From a fixed context over attention to the Transformer: translators that were trained alike, side by side.

    triptych bench attention CHECKPOINT ... --data FILE [--columns fr,en] [--sentence TEXT] [--plots FOLDER]

Every checkpoint translates the file both ways through the engine: BLEU, as a whole and by the length of the source, and
sentences a second, the checkpoints in turn in every round. What training read in a second is in their manifests. The
pictures are BLEU by length, and where each word of a sentence's translation looks at its source.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models.checkpoint import Manifest, load, read_config, read_manifest
from models.precision import Precision
from models.training.evaluation.metrics import TranslationQuality, quality_by_length, translation_quality
from models.training.evaluation.testfile import TestFile
from service.messages import Alignment, Decoding
from service.scoring.answers import EngineAnswers

LENGTHS = (4, 6, 8, 10, 13)  # words: upper ends of the bins; a quarter of everyday sentences has more than eight
SEARCHES = {"greedy": Decoding(), "beam 4": Decoding(num_beams=4)}
SENTENCE = "J'ai acheté une voiture rouge hier."  # a red car: the words change places
BEST = "beam 4"  # what BLEU is of
Pair = tuple[str, str]
Texts = Mapping[Pair, tuple[list[str], list[str]]]  # sources and references


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of one checkpoint."""

    name: str
    parameters: int
    minutes: float  # of training
    trained_tokens_per_second: float  # target tokens
    quality: dict[Pair, TranslationQuality]
    by_length: dict[Pair, dict[str, TranslationQuality]]
    sentences_per_second: dict[str, float]  # by search: the median of the rounds, over both directions
    alignment: Alignment | None  # None: it has no attention

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "parameters": self.parameters,
            "minutes": self.minutes,
            "trained_tokens_per_second": self.trained_tokens_per_second,
            "bleu": {"-".join(pair): quality.scores for pair, quality in self.quality.items()},
            "by_source_words": {
                "-".join(pair): {words: quality.scores for words, quality in bins.items()}
                for pair, bins in self.by_length.items()
            },
            "sentences_per_second": self.sentences_per_second,
        }


def run(
    checkpoints: Sequence[Path],
    *,
    data: Path,
    columns: Sequence[str],
    sentence: str,
    limit: int | None,
    rounds: int,
    precision: Precision,
    console: Console,
    plots: Path | None = None,
) -> dict[str, Any]:
    """`columns` are the two languages; `sentence` is in the first. Raises ValueError for what cannot be compared."""
    if len(columns) != 2:
        raise ValueError(f"--columns is {','.join(columns)}: two languages are expected, such as fr,en")
    pairs = [(columns[0], columns[1]), (columns[1], columns[0])]
    file = TestFile.read(data, columns, columns=columns, limit=limit)
    texts = {pair: file.translations(*pair) for pair in pairs}
    entrants = [_entrant(directory, pairs) for directory in checkpoints]
    for _ in range(rounds):
        for entrant in entrants:
            with EngineAnswers(load(entrant.directory), console, precision) as answers:
                entrant.translate(answers, texts, sentence)
            format = answers.info.precision
    found = [entrant.found(texts) for entrant in entrants]
    _show(found, f"{data.name}, both ways, {format}", console)
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)
        draw_lengths(found, plots / "bleu-by-length.png")
        draw_alignments(found, plots / "alignments.png")
    return {"checkpoints": [each.to_dict() for each in found]}


@dataclass(kw_only=True)
class _Entrant:
    """A checkpoint, whose engine is there while it translates: the idle threads of others would slow down its own."""

    directory: Path
    manifest: Manifest
    has_attention: bool
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # of each round, by search
    said: dict[Pair, list[str]] = field(default_factory=dict)  # with the best search
    alignment: Alignment | None = None

    def translate(self, answers: EngineAnswers, texts: Texts, sentence: str) -> None:
        """All texts with each search, and the `sentence`, in the first language, for its alignment."""
        for search, decoding in SEARCHES.items():
            found = {pair: answers.translations(sources, *pair, decoding) for pair, (sources, _) in texts.items()}
            self.seconds[search].append(sum(each.seconds for each in found.values()))
            if search == BEST:
                self.said = {pair: [completion.text for completion in each.all()] for pair, each in found.items()}
        if self.has_attention:
            [completion] = answers.translations([sentence], *next(iter(texts)), alignment=True).all()
            self.alignment = completion.alignment

    def found(self, texts: Texts) -> Found:
        training, count = self.manifest.training, sum(len(sources) for sources, _ in texts.values())
        return Found(
            name=self.manifest.name,
            parameters=training["parameters"],
            minutes=training["minutes"],
            trained_tokens_per_second=round(training["scored_tokens"] / (60 * training["minutes"]), 1),
            quality={pair: translation_quality(self.said[pair], references) for pair, (_, references) in texts.items()},
            by_length={
                pair: quality_by_length(sources, self.said[pair], references, lengths=LENGTHS)
                for pair, (sources, references) in texts.items()
            },
            sentences_per_second={
                search: round(count / statistics.median(seconds), 1) for search, seconds in self.seconds.items()
            },
            alignment=self.alignment,
        )


def _entrant(directory: Path, pairs: Sequence[Pair]) -> _Entrant:
    manifest, config = read_manifest(directory), read_config(directory)
    missing = [f"{source}-{target}" for source, target in pairs if (source, target) not in manifest.language_pairs]
    if missing:
        raise ValueError(f"{directory}: {manifest.reference} does not translate {', '.join(missing)}")
    if not manifest.training:
        raise ValueError(f"{directory}: the manifest of {manifest.reference} says nothing of its training")
    has_attention = config.capabilities.alignment_layers > 0
    return _Entrant(directory=directory, manifest=manifest, has_attention=has_attention)


def _show(found: Sequence[Found], title: str, console: Console) -> None:
    pairs = list(found[0].quality)
    table = Table(
        "",
        *("BLEU " + "→".join(pair) for pair in pairs),
        "parameters",
        "minutes",
        "training tokens/s",
        *(f"sentences/s, {search}" for search in SEARCHES),
        title=title,
    )
    for each in found:
        bleu = [each.quality[pair] for pair in pairs]
        table.add_row(
            each.name,
            *(f"{q.bleu:.1f} ({q.intervals['bleu'][0]:.1f} to {q.intervals['bleu'][1]:.1f})" for q in bleu),
            f"{each.parameters:,}",
            f"{each.minutes:.0f}",
            f"{each.trained_tokens_per_second:,.0f}",
            *(f"{each.sentences_per_second[search]:,.0f}" for search in SEARCHES),
        )
    console.print(table)


def draw_lengths(found: Sequence[Found], path: Path) -> None:
    """A panel for each direction: BLEU with its interval against the words of the source."""
    pairs = list(found[0].quality)
    figure, panels = _figure(len(pairs), (5 * len(pairs), 4), sharey=True)
    for axes, pair in zip(panels, pairs, strict=True):
        for number, each in enumerate(found):
            bins = each.by_length[pair]
            scores = [quality.bleu for quality in bins.values()]
            ends = [quality.intervals["bleu"] for quality in bins.values()]
            spread = [
                [value - low for value, (low, _) in zip(scores, ends, strict=True)],
                [high - value for value, (_, high) in zip(scores, ends, strict=True)],
            ]
            places = [place + 0.06 * number for place in range(len(bins))]  # beside each other, not one over the other
            axes.errorbar(places, scores, yerr=spread, marker="o", capsize=2, label=each.name)
        bins = found[0].by_length[pair]
        axes.set_xticks(range(len(bins)), [f"{words}\n{quality.sentences}" for words, quality in bins.items()])
        axes.set_xlabel("words of the source, and how many sentences")
        axes.set_title(" → ".join(pair))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("BLEU, beam 4")
    panels[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def draw_alignments(found: Sequence[Found], path: Path) -> None:
    """A panel for each checkpoint that has attention: a row for each token of its translation, over the source's."""
    drawn = [(each.name, each.alignment) for each in found if each.alignment is not None]
    if not drawn:
        return
    figure, panels = _figure(len(drawn), (4.5 * len(drawn), 4.5))
    for axes, (name, alignment) in zip(panels, drawn, strict=True):
        axes.imshow(alignment.weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(alignment.source_tokens)), [_shown(t) for t in alignment.source_tokens], rotation=60)
        axes.set_yticks(range(len(alignment.target_tokens)), [_shown(t) for t in alignment.target_tokens])
        axes.set_title(name)
    figure.savefig(path, dpi=120)


def _shown(token: str) -> str:
    return token.strip() or "·"  # a tag, or the end


def _figure(count: int, size: tuple[float, float], **options: Any) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False, **options)[0]
