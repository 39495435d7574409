"""`triptych publish`. Heavy imports happen inside."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.table import Table

from service.commands.terminal import RegistryOption, console, failed
from service.config import SHIPPED_REGISTRY

if TYPE_CHECKING:
    from models.checkpoint import Manifest
    from models.registry import Registry
    from models.training.publishing import Comparison


def publish(
    directory: Annotated[Path, typer.Argument(help="Checkpoint directory, as `train` leaves it.")],
    data: Annotated[
        Path | None, typer.Option(envvar="TRIPTYCH_DATA", help="Folder of the text files that recipes name.")
    ] = None,
    registry: RegistryOption = SHIPPED_REGISTRY,
    tolerance: Annotated[
        str, typer.Option(help="How much worse than the current version a score may be, as a share: 1% or 0.01.")
    ] = "1%",
    force: Annotated[bool, typer.Option("--force", help="Publish even what is worse; the manifest says so.")] = False,
    scores: Annotated[
        Path | None, typer.Option(help="JSON file of scores by test, measured elsewhere; then nothing is scored here.")
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(help="Robustness suite that a translator is scored on, too: its folder.")
    ] = None,
    note: Annotated[str, typer.Option(help="A word on this version, for `registry show`.")] = "",
) -> None:
    """Score a checkpoint on its test files through the serving engine, and publish it if it is good enough."""
    from models.checkpoint import CheckpointError
    from models.registry import Registry, RegistryError
    from models.training.publishing import GateError
    from models.training.publishing import publish as publish_checkpoint

    try:
        share = _share(tolerance)
        target = Registry(registry)  # a URL that cannot be opened is known before minutes of scoring
        robustness = _robustness_scores(directory, suite) if suite is not None else {}  # so is a suite
        measured = _read_scores(scores) if scores is not None else _score(directory, data, target)
        measured = {**measured, **robustness}
        manifest = publish_checkpoint(directory, target, measured, tolerance=share, force=force, note=note)
    except GateError as error:
        console.print(_comparison(error.comparisons))
        raise failed(f"{error.summary}. Nothing was published; --force publishes it all the same") from error
    except (OSError, CheckpointError, RegistryError, ValueError) as error:
        raise failed(str(error)) from error
    console.print(json.dumps(manifest.scores, indent=2, ensure_ascii=False), markup=False, soft_wrap=True)
    gate = manifest.publication.get("gate")
    if gate and not gate["compared"]:
        console.print(f"Compared with nothing: {gate['against']} has no score that this one has, too")
    elif gate:
        forced = ", and was forced" if manifest.publication["forced"] else ""
        console.print(f"Compared with {gate['against']}: {len(gate['compared'])} scores{forced}")
    console.print(f"Published as {manifest.name}@{manifest.version}")
    console.print(_next(manifest, registry), markup=False, soft_wrap=True)


def _next(manifest: Manifest, registry: str) -> str:
    """What to do with a version, to be pasted."""
    from models.checkpoint import PRETRAIN
    from models.training.card import asking

    version = f"{manifest.name}@{manifest.version}"
    if manifest.task == PRETRAIN:
        return f"To fine-tune it, a recipe has the line\n\n  start: {version}"
    models = {manifest.name: {"task": manifest.task, "checkpoint": version}}
    settings = yaml.safe_dump({"models": models}, default_flow_style=True, sort_keys=False, width=1000).strip()
    file = f"serve-{manifest.name}.yaml"
    return (
        f"To serve it:\n\n  echo {shlex.quote(settings)} > {file}\n"
        f"  triptych serve --config {file} --registry {shlex.quote(registry)}\n  {asking(manifest)}"
    )


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share < 1:
        raise ValueError(f"--tolerance is {text!r}, expected a share such as 1% or 0.01, below 100%")
    return share


def _score(directory: Path, data: Path | None, registry: Registry) -> dict[str, Any]:
    from service.scoring import score

    if data is None:
        raise ValueError("--data is missing: the folder of the files that the recipe is scored on (or give --scores)")
    return score(directory, data, registry, console)


def _robustness_scores(directory: Path, suite: Path) -> dict[str, Any]:
    from service.scoring.robustness import robustness_scores

    return robustness_scores(directory, suite, console)


def _read_scores(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(score, dict) for score in values.values()):
        raise ValueError(f"{path}: expected measures by test, such as {{'test.tsv': {{'accuracy': 0.9}}}}")
    for test, score in values.items():
        for measure, value in score.items():
            if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
                raise ValueError(f"{path}: {measure} of {test} is {value!r}, expected a number or a text")
    return values


def _comparison(comparisons: tuple[Comparison, ...]) -> Table:
    table = Table("test", "measure", "current", "this one", "limit", "", box=None)
    for each in comparisons:
        figures = (f"{value:.4g}" for value in (each.old, each.new, each.limit))
        table.add_row(each.test, each.measure, *figures, "[red]worse[/red]" if each.worse else "")
    return table
