"""What was measured, as a person reads it on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from models.training.card import score_table
from models.training.evaluation.fewshot import ShotResult
from models.training.evaluation.metrics import Confusion, ReliabilityBin
from models.training.evaluation.resampling import Proportion
from models.training.evaluation.robustness import Tally, together
from models.training.evaluation.suite import Direction
from models.training.evaluation.training_text import FAR
from models.training.markdown import figure
from service.scoring.answers import Answers
from service.scoring.evaluating import ClassificationResult, TextResult, TranslationResult
from service.scoring.steering import SteeringResult

MOST_COLUMNS = 10  # labels of a confusion matrix that is shown whole; of more, the most frequent confusions
BAR = 16  # characters
SHOWN = 2  # samples of each prompt


def show_scores(scores: Mapping[str, Any], console: Console) -> None:
    """By test, as a manifest has them."""
    head, rows = score_table(scores)
    if not head:
        console.print("No scores")
        return
    table = _table("", *(name if name == "test" else f">{name}" for name in head))
    for test, *figures, size in rows:
        table.add_row(Text(test), *map(_two_lines, figures), size)
    console.print(table)
    for rule in dict.fromkeys(score["subset"] for score in scores.values() if "subset" in score):
        console.print(_dim(rule))


def show_comparisons(gate: Mapping[str, Any], console: Console) -> None:
    """What the gate compared, as a manifest's publication has it."""
    if gate["compared"]:
        table = _table("", "test", f">{gate['against']}", ">this one", ">p", "")
        for each in gate["compared"]:
            sides = (figure(each[side], each[f"{side}_interval"]) for side in ("old", "new"))
            p = "" if each["p"] is None else "<0.001" if each["p"] < 0.001 else f"{each['p']:.3f}"
            worse = Text("worse" if each["refused"] else "", style="red")
            table.add_row(Text(f"{each['test']}: {each['measure']}"), *map(_two_lines, sides), p, worse)
        console.print(table)
    for obstacle in gate["obstacles"]:
        console.print(Text(f"not compared: {obstacle}", style="yellow"))


def _two_lines(figure: str) -> Text:
    """A figure over its interval, so that tables of them are narrow."""
    value, _, interval = figure.partition(" ")
    return Text(value) + _dim(f"\n{interval}") if interval else Text(value)


def show_translation(result: TranslationResult, console: Console) -> None:
    quality = result.quality
    console.print(f"\n[bold]{' → '.join(result.pair)}[/bold]  {quality.sentences:,} sentences")
    figures = _figures()
    for name, measure in (("BLEU", "bleu"), ("chrF", "chrf")):
        value = Text(f"{getattr(quality, measure):.2f}", style="bold" if quality.headline == measure else "")
        figures.add_row(name, value, _sure(quality.intervals[measure], 2))
        if (far := result.far) is not None:
            figures.add_row(f"{name}, far", f"{getattr(far, measure):.2f}", _sure(far.intervals[measure], 2))
    shorter = "the translations are too short" if quality.brevity_penalty < 1 else "nothing is lost for shortness"
    figures.add_row("brevity penalty", f"{quality.brevity_penalty:.3f}", _dim(shorter))
    figures.add_row("length ratio", f"{quality.length_ratio:.3f}", _dim("tokens of the translations to the references"))
    speed = f"{result.tokens / result.found.seconds:,.0f} tokens/s, all {quality.sentences:,} at once"
    figures.add_row("sentences/s", f"{quality.sentences / result.found.seconds:,.1f}", _dim(speed))
    console.print(figures)
    if result.far is not None:
        console.print(_dim(f" {result.far.sentences:,} sentences are {FAR}"), soft_wrap=True)
    for name, signature in (("BLEU", quality.signature), ("chrF", quality.chrf_signature)):
        console.print(_dim(f" {name} {signature}"), soft_wrap=True)
    lengths = _table("By the length of the source", "words", ">sentences", ">BLEU", ">chrF", ">ratio", "BLEU")
    for words, part in result.by_length.items():
        lengths.add_row(
            words,
            f"{part.sentences:,}",
            _two_lines(f"{part.bleu:.2f} {_bounds(part.intervals['bleu'], 1)}"),
            _two_lines(f"{part.chrf:.2f} {_bounds(part.intervals['chrf'], 1)}"),
            f"{part.length_ratio:.3f}",
            _bar(part.bleu / 100),
        )
    console.print(lengths)
    if result.worst:
        worst = _table("The worst sentences, by chrF", ">chrF", "", "text")
        for sentence in result.worst:
            worst.add_row(f"{sentence.chrf:.1f}", _dim("source"), Text(sentence.source))
            worst.add_row("", _dim("reference"), Text(sentence.reference))
            worst.add_row("", _dim("translation"), Text(sentence.hypothesis), end_section=True)
        console.print(worst)
    _refused(result.found, console)


def show_classification(result: ClassificationResult, console: Console) -> None:
    confusion, scores = result.confusion, result.scores
    console.print(f"\n[bold]{confusion.texts:,} texts[/bold]")
    figures = _figures()
    _add_measured(figures, "accuracy", scores, "accuracy")
    _add_measured(figures, "macro F1", scores, "macro_f1")
    figures.add_row("majority", f"{confusion.majority:.4f}", _dim("accuracy of always giving the most frequent label"))
    error, interval = scores["calibration_error"], scores["intervals"]["calibration_error"]
    figures.add_row("calibration error", f"{error:.4f}", _sure(interval, 4))
    figures.add_row("", "", _dim("expected gap of confidence and accuracy, 15 bins"))
    figures.add_row("texts/s", f"{confusion.texts / result.found.seconds:,.1f}", "")
    console.print(figures)
    labels = _table("By label", "label", ">precision", ">recall", ">F1", ">texts")
    for quality in sorted(confusion.by_label, key=lambda quality: quality.f1):
        figures_of_label = (f"{each:.4f}" for each in (quality.precision, quality.recall, quality.f1))
        labels.add_row(Text(quality.label), *figures_of_label, f"{quality.texts:,}")
    console.print(labels)
    console.print(_confusion(confusion))
    console.print(_reliability(result.reliability))
    _refused(result.found, console)


def show_texts(result: TextResult, console: Console) -> None:
    found, scores = result.likelihood, result.scores
    console.print(f"\n[bold]{scores['texts']:,} texts[/bold]")
    figures = _figures()
    _add_measured(figures, "perplexity", scores, "perplexity")
    figures.add_row("", "", _dim(f"per token, {found.tokens:,} with the texts' ends"))
    _add_measured(figures, "bits per byte", scores, "bits_per_byte")
    figures.add_row("", "", _dim(f"{result.bytes:,} bytes of UTF-8"))
    if found.windows > scores["texts"]:
        figures.add_row("windows", f"{found.windows:,}", _dim("some texts are longer than the model reads at once"))
    figures.add_row("tokens/s", f"{found.tokens / result.seconds:,.0f}", "")
    console.print(figures)


def show_masked_words(scores: Mapping[str, Any], words: int, console: Console) -> None:
    console.print(f"\n[bold]{scores['texts']:,} texts[/bold]")
    figures = _figures()
    _add_measured(figures, "masked words", scores, "masked_word_accuracy")
    figures.add_row("", "", _dim(f"guessed right, of {words:,} hidden"))
    _add_measured(figures, "perplexity", scores, "masked_word_perplexity")
    console.print(figures)


def show_shots(results: Sequence[ShotResult], console: Console) -> None:
    first = results[0].confusion
    console.print(f"\n[bold]{first.texts:,} texts[/bold], labels {', '.join(first.labels)}")
    table = _table("By the number of examples in the prompt", ">examples", ">accuracy", ">macro F1", ">majority", "")
    for result in results:
        confusion, measured = result.confusion, result.measured
        above = confusion.accuracy - confusion.majority
        table.add_row(
            str(result.shots),
            *(_two_lines(figure(measured[name], measured["intervals"][name])) for name in ("accuracy", "macro_f1")),
            f"{confusion.majority:.4f}",
            Text(f"{above:+.4f}", style="green" if above > 0 else "red"),
        )
    console.print(table)
    for result in results:
        if result.shortened:
            console.print(
                f"[yellow]{result.shots} examples: {result.shortened:,} of {result.confusion.texts:,} texts got fewer, "
                "more would not fit into the model[/yellow]"
            )
        if result.left_out:
            console.print(f"[yellow]{result.left_out:,} texts are too long even alone: left out[/yellow]")


def show_steering(result: SteeringResult, console: Console) -> None:
    console.print(f"\n[bold]{result.agreed.of:,} samples[/bold], judged by {result.judge}")
    table = _table("", "prompt", "asked", ">as asked", "95 % sure", ">distinct", ">unjudged")
    for each in result.prompts:
        distinct, unjudged = f"{len(set(each.texts)) / len(each.texts):.3f}", str(each.labels.count(""))
        table.add_row(Text(each.prompt), Text(each.asked), *_agreed(each.agreed), distinct, unjudged)
    table.add_section()
    table.add_row("all", "", *_agreed(result.agreed))
    console.print(table)
    samples = _table("Some of them", "prompt", "judged", "text")
    for each in result.prompts:
        for text, label in list(zip(each.texts, each.labels, strict=True))[:SHOWN]:
            judged = Text(label or "-", style="green" if label == each.asked else "red")
            samples.add_row(Text(each.prompt), judged, Text(text))
    console.print(samples)


def _agreed(share: Proportion) -> tuple[str, str]:
    low, high = share.interval
    return f"[bold]{share.value:.3f}[/bold]", f"{low:.3f}-{high:.3f}"


def show_robustness(tallies: Mapping[Direction, Tally], worst: int, console: Console) -> None:
    for (source, target), tally in tallies.items():
        console.print(f"\n[bold]{source} → {target}[/bold]  {len(tally.verdicts):,} cases")
        console.print(_robustness(tally))
        if worst and tally.wrong:
            table = _table("Some of what is wrong", "kind", "", "text")
            for verdict in tally.wrong[:worst]:
                output = _dim("refused") if verdict.output is None else Text(repr(verdict.output))
                table.add_row(_named(verdict.case.kind), _dim("source"), Text(repr(verdict.case.source)))
                table.add_row(_dim("\n".join(verdict.failures)), _dim("translation"), output, end_section=True)
            console.print(table)
    if len(tallies) > 1:
        whole = together(tallies)
        console.print(f"\n[bold]together[/bold]  {len(whole.verdicts):,} cases")
        console.print(_robustness(whole))


def _robustness(tally: Tally) -> Table:
    """Counts by kind; below, in which bounds their shares lie."""
    table = _table("", "", ">right", ">95 % sure", ">loops", ">invents", ">copied")

    def add(name: str, of: Tally) -> None:
        low, high = of.right.interval
        right, loops, invents = _of(of.right), _of(of.looping), _of(of.inventing)
        table.add_row(_named(name), right, f"{low:.2f}-{high:.2f}", loops, invents, _of(of.copied))

    for kind, of_kind in tally.by_kind.items():
        add(kind, of_kind)
    table.add_section()
    add("greetings, capitals", tally.only("greeting", "capitals"))
    if tally.unseen.verdicts:
        add("unseen", tally.unseen)
    add("all", tally)
    bounds = (share.interval for share in (tally.looping, tally.inventing, tally.copied))
    table.add_row(_dim("95 % sure"), "", "", *(_dim(f"{low:.2f}-{high:.2f}") for low, high in bounds))
    return table


def _of(share: Proportion) -> str:
    return f"{share.count}/{share.of}" if share.of else ""


def _named(kind: str) -> Text:
    return Text(kind.replace("_", " "), no_wrap=True)


def _confusion(confusion: Confusion) -> Table:
    if len(confusion.labels) > MOST_COLUMNS:
        table = _table("The most frequent confusions", "is", "was called", ">texts")
        pairs = [
            (count, expected, given)
            for expected, row in zip(confusion.labels, confusion.counts, strict=True)
            for given, count in zip(confusion.labels, row, strict=True)
            if count and expected != given
        ]
        for count, expected, given in sorted(pairs, reverse=True)[:MOST_COLUMNS]:
            table.add_row(Text(expected), Text(given), f"{count:,}")
        return table
    table = _table("Confusion", "is \\ was called", *(f">{label}" for label in confusion.labels))
    for row, (label, counts) in enumerate(zip(confusion.labels, confusion.counts, strict=True)):
        cells = [
            Text(f"{count:,}", style="bold" if column == row else "red" if count else "dim")
            for column, count in enumerate(counts)
        ]
        table.add_row(Text(label), *cells)
    return table


def _reliability(bins: Sequence[ReliabilityBin]) -> Table:
    table = _table("Reliability", "confidence", ">texts", ">mean", ">accuracy", ">gap", "accuracy")
    for each in bins:
        if each.texts:
            gap = each.accuracy - each.confidence
            table.add_row(
                f"{each.low:.2f}-{each.high:.2f}",
                f"{each.texts:,}",
                f"{each.confidence:.3f}",
                f"{each.accuracy:.3f}",
                f"{gap:+.3f}",
                _bar(each.accuracy),
            )
    return table


def _refused(found: Answers[Any], console: Console) -> None:
    if found.refused:
        console.print(
            f"[yellow]{found.refused:,} texts are too long for the model and in no score, the first:[/yellow]"
        )
        console.print(Text(f"  {found.refusal}"))


def _table(title: str, *columns: str) -> Table:
    """A column that begins with ">" is of numbers."""
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE,
        padding=(0, 1),
        min_width=len(title) + 2,  # a title wider than its table would be broken
    )
    for column in columns:
        number = column.startswith(">")
        name = Text(column.removeprefix(">"))
        table.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=number)
    return table


def _figures() -> Table:
    return Table("", Column(justify="right"), "", box=None, show_header=False, padding=(0, 1))


def _add_measured(figures: Table, name: str, scores: Mapping[str, Any], measure: str) -> None:
    digits = 2 if measure.endswith("perplexity") else 4  # as manifests have them
    figures.add_row(name, f"[bold]{scores[measure]:.{digits}f}[/bold]", _sure(scores["intervals"][measure], digits))


def _bar(share: float) -> Text:
    return Text("█" * round(share * BAR), style="cyan") + Text("·" * (BAR - round(share * BAR)), style="dim")


def _sure(interval: Sequence[float], digits: int) -> Text:
    return _dim(f"95 % sure: {_bounds(interval, digits)}")


def _bounds(interval: Sequence[float], digits: int) -> str:
    return f"[{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def _dim(text: str) -> Text:
    return Text(text, style="dim")
