"""The model card: README.md of a checkpoint directory, rendered from what its manifest and config say.

Its front matter is what the Hugging Face hub reads (Mitchell et al. 2019, "Model cards for model reporting"; fields as
in huggingface.co/docs/hub/model-cards). Nothing in it is written by hand: what should stand there goes into the recipe.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from models import checkpoint
from models.checkpoint import CARD, CURVES, Manifest
from models.confidence import CONFIDENCE
from models.config import Config
from models.lineage import licences
from models.training import provenance
from models.training.evaluation.robustness import ROBUSTNESS
from models.training.markdown import cell, figure, table
from models.training.tasks import TASKS

# As the hub calls them; what is not here (`sentences`, signatures) is no metric.
_METRICS = {
    "bleu": "BLEU",
    "chrf": "chrF",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error",
    "unsure": "unsure of what no label fits",
    "bits_per_byte": "bits per byte",
    "perplexity": "perplexity",
    "agreement": "agreement",
    "right": "right",
    "right_unseen": "right, unseen",
    "greetings_and_capitals": "greetings, capitals",
    "loops": "loops",
    "invents": "invents",
    "copied": "copied whole",
    "clean": "samples without a blocked word",
    "masked_word_accuracy": "masked word accuracy",
    "masked_word_perplexity": "masked word perplexity",
}
_HUB_METRICS = {"macro_f1": "f1"}
_COUNTS = ("sentences", "texts", "samples", "cases")
_OF_CONFIDENCE = """\
Where `confidence` is asked for, a translation comes with the chrF that those as likely as it had on the test. Error:
how far expected and measured chrF are apart, on average over ten groups of sentences that the expectation has not seen.
Correlation: of expected and measured chrF, sentence by sentence."""
_OF_ROBUSTNESS = """\
Short texts as people type them. Shares: right, of all, of those whose source stands in no training text (unseen; case
and punctuation aside) and of greetings and texts in capitals; outputs that loop; words for a text that has none
(invents); outputs that keep whole what must be copied."""


def write_card(directory: Path) -> Manifest:
    """Write README.md into a checkpoint directory, and the manifest with its hash. Raises CheckpointError."""
    manifest = checkpoint.verify(directory)
    config = checkpoint.read_config(directory)
    (directory / CARD).write_text(render(manifest, config, curves=(directory / CURVES).is_file()), encoding="utf-8")
    return checkpoint.write_manifest(directory, manifest)


def rewrite_card(directory: Path, manifest: Manifest) -> Manifest:
    """Write README.md anew for what `manifest` says now; the manifest with its hash. Other files are not read.

    A `models.registry.layout.Seal`: so the card of a version tells of its publication.
    """
    config = checkpoint.read_config(directory)
    (directory / CARD).write_text(render(manifest, config, curves=CURVES in manifest.files), encoding="utf-8")
    return dataclasses.replace(manifest, files={**manifest.files, CARD: checkpoint.facts_of(directory / CARD)})


def render(manifest: Manifest, config: Config, *, curves: bool) -> str:
    """`curves`: whether there is a curves.png to show."""
    recipe = manifest.training.get("recipe", {})
    robustness = {test: score for test, score in manifest.scores.items() if test.startswith(f"{ROBUSTNESS} ")}
    sections: dict[str, Iterable[str]] = {  # by title, their paragraphs
        f"# {manifest.name}": _summary(manifest, config),
        "## Use": [_use(manifest)],
        "## Scores": _scores({test: score for test, score in manifest.scores.items() if test not in robustness}),
        "## Robustness": [_OF_ROBUSTNESS, *_scores(robustness)] if robustness else (),
        "## Confidence": _confidence(manifest.scores),
        "## Publication": provenance.publication(manifest),
        "## Limits": [recipe.get("limits", "")],
        "## Model": [table(("field", "value"), [(name, cell(value)) for name, value in _model(manifest, config)])],
        "## Training data": _data(manifest),
        "## Training": _training(manifest, curves),
        "## Lineage": ["\n".join(provenance.lineage(manifest.lineage))],
        "## Licence": [manifest.licence, manifest.attribution, *provenance.terms(manifest.lineage)],
    }
    written = [(title, [part for part in paragraphs if part]) for title, paragraphs in sections.items()]
    body = ["\n\n".join([title, *paragraphs]) for title, paragraphs in written if paragraphs]
    front = yaml.safe_dump(_front_matter(manifest), sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{front}---\n\n" + "\n\n".join(body) + "\n"


def _front_matter(manifest: Manifest) -> dict[str, Any]:
    languages = sorted({language for pair in manifest.language_pairs for language in pair})
    measured = {measure for score in manifest.scores.values() for measure in _measures(score)}
    terms = [licence.lower() for licence in licences(manifest.licence)]
    front: dict[str, Any] = {
        "language": languages,
        "license": terms[0] if len(terms) == 1 else terms,
        "library_name": "triptych",
        "pipeline_tag": TASKS[manifest.task].hub_name,
        "tags": ["triptych", manifest.architecture],
        "metrics": [_HUB_METRICS.get(measure, measure) for measure in _METRICS if measure in measured],
        "model-index": _model_index(manifest),
    }
    return {name: value for name, value in front.items() if value}


def _model_index(manifest: Manifest) -> list[dict[str, Any]]:
    """Scores as the hub lists them beside those of other models."""
    results = [
        {
            "task": {"type": TASKS[manifest.task].hub_name},
            "dataset": {"name": test, "type": test.split()[0]},
            "metrics": [
                {"type": _HUB_METRICS.get(measure, measure), "name": _METRICS[measure], "value": value}
                for measure, value in measures.items()
            ],
        }
        for test, score in manifest.scores.items()
        if (measures := _measures(score))
    ]
    return [{"name": manifest.name, "results": results}] if results else []


def _summary(manifest: Manifest, config: Config) -> Iterator[str]:
    parameters = manifest.training.get("parameters")
    size = f" with {parameters:,} parameters" if parameters else ""
    yield f"This model {TASKS[manifest.task].does}. It is {config.noun}{size}."
    if manifest.language_pairs:
        yield "Languages: " + ", ".join(f"{source} → {target}" for source, target in manifest.language_pairs)
    if manifest.labels:
        yield "Labels: " + ", ".join(manifest.labels)
    if manifest.takes_pairs:
        yield "It was trained on pairs of texts: a request has `text` and `text_pair`."


def _use(manifest: Manifest) -> str:
    name, start = manifest.name, ""
    if manifest.pretrained:
        start = (
            "A recipe of another task starts from it with a line; tokenizer and architecture come along:"
            f"\n\n```yaml\nstart: {name}\n```\n\n"
        )
    return (
        f"{start}Settings of a service that answers with it:\n\n```yaml\nmodels:\n  {name}: "
        f"{{task: {manifest.served_as}, checkpoint: {name}}}\n```\n\n"
        f"```sh\ntriptych serve --config settings.yaml --registry REGISTRY\n"
        f"{asking(manifest)}\n```"
    )


def asking(manifest: Manifest) -> str:
    """A command that asks a service on this machine: the first of the model's examples, or what one looks like."""
    examples = [json.dumps(each, ensure_ascii=False) for each in manifest.examples.values()]
    request = examples[0] if examples else TASKS[manifest.task].request(manifest)
    quoted = request.replace("'", "'\\''")  # for the shell
    return f"curl http://127.0.0.1:8000/{manifest.served_as} -H 'content-type: application/json' -d '{quoted}'"


def score_table(scores: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of tests: every measure with its interval of 95 % where it has one, and the size.

    Nothing where no test has a measure that is known here.
    """
    used = [measure for measure in _METRICS if any(measure in _measures(score) for score in scores.values())]
    if not used:
        return [], []
    rows = []
    for test, score in scores.items():
        count = next((f"{score[name]:,} {name}" for name in _COUNTS if name in score), "")
        measures, intervals = _measures(score), score.get("intervals", {})
        rows.append([test, *(figure(measures.get(name), intervals.get(name)) for name in used), count])
    return ["test", *(_METRICS[measure] for measure in used), "size"], rows


def _scores(scores: Mapping[str, Any]) -> Iterator[str]:
    """A table of what was measured, and how."""
    head, rows = score_table(scores)
    if not head:
        return
    yield table(head, [list(map(cell, row)) for row in rows])
    if any("intervals" in score for score in scores.values()):
        yield "In brackets: where the figure lies with 95 % certainty, had other texts of the same kind been drawn."
    yield from dict.fromkeys(f"A test's subset, {score['subset']}." for score in scores.values() if "subset" in score)
    computed: dict[str, list[str]] = {}  # measure and signature -> tests
    for test, score in scores.items():
        for measure, field in (("BLEU", "signature"), ("chrF", "chrf_signature")):
            if field in score:
                computed.setdefault(f"{measure} `{score[field]}`", []).append(cell(test))
    if computed:
        yield "How they were computed (sacrebleu):"
        yield "\n".join(
            f"- {how}" + (f": {', '.join(tests)}" if len(tests) < len(scores) else "")
            for how, tests in computed.items()
        )


def _confidence(scores: Mapping[str, Any]) -> Iterator[str]:
    found = {test: score[CONFIDENCE] for test, score in scores.items() if CONFIDENCE in _mapping(score)}
    if not found:
        return
    yield _OF_CONFIDENCE
    rows = [
        (cell(test), *(figure(each[name]) for name in ("error", "correlation")), f"{each['sentences']:,} sentences")
        for test, each in found.items()
    ]
    yield table(("test", "error", "correlation", "size"), rows)


def _model(manifest: Manifest, config: Config) -> Iterator[tuple[str, object]]:
    if "parameters" in manifest.training:
        yield "parameters", f"{manifest.training['parameters']:,}"
    yield from config.to_dict().items()
    if manifest.adapter is not None:
        lora = manifest.adapter.lora
        yield "kept beside", f"{manifest.adapter.base}: adapters of rank {lora.rank} for {', '.join(lora.adapted)}"
    yield "size of the files", f"{manifest.size / 1e6:.1f} MB" if manifest.size >= 1e6 else f"{manifest.size:,} bytes"


def _data(manifest: Manifest) -> Iterator[str]:
    if manifest.data:
        yield manifest.data
    report = manifest.training.get("data_report", {})
    rows = []
    for corpus in report.get("corpora", ()):  # counts alone: a row that was left out may be one nobody should read
        out = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in corpus.get("left_out", {}).items()]
        broken = [f"{corpus['broken']:,} broken"] if corpus.get("broken") else []
        role = corpus.get("role", "training")
        kept = corpus.get("kept") if role == "training" else ""
        counts = (figure(corpus.get("rows")), figure(kept), ", ".join(out + broken))
        rows.append((cell(corpus["name"]), role, *counts))
    if rows:
        yield table(("file", "role", "rows", "kept", "left out"), rows)


def _training(manifest: Manifest, curves: bool) -> Iterator[str]:
    facts = {name: value for name, value in manifest.training.items() if not isinstance(value, dict)}
    if facts:
        rows = [(name.replace("_", " "), figure(value)) for name, value in facts.items()]
        yield table(("", ""), rows)
    if curves:
        yield f"![Loss and learning rate by step]({CURVES})"
    if recipe := manifest.training.get("recipe"):
        text = yaml.safe_dump(_plain(recipe), sort_keys=False, allow_unicode=True, width=120).strip()
        yield f"<details><summary>Recipe</summary>\n\n```yaml\n{text}\n```\n\n</details>"
    if manifest.versions:
        yield "Made with " + ", ".join(f"{name} {version}" for name, version in manifest.versions.items()) + "."


def _measures(score: object) -> dict[str, float]:
    found = _mapping(score)
    return {
        measure: float(found[measure])
        for measure in _METRICS
        if isinstance(found.get(measure), int | float) and not isinstance(found[measure], bool)
    }


def _mapping(score: object) -> Mapping[str, Any]:
    return score if isinstance(score, Mapping) else {}


def _plain(value: Any) -> Any:
    """What YAML writes without tags; fields that were left empty are not worth a line."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item not in (None, "", [], (), {})}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
