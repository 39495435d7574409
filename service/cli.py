"""The command line: `triptych serve | reload | train | publish | registry | bench`. Heavy imports happen inside."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.config import SHIPPED_REGISTRY, Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Serve and train the three models of Triptych.")
registry_commands = typer.Typer(
    no_args_is_help=True, help="Look at the checkpoints a registry holds, or roll one back."
)
app.add_typer(registry_commands, name="registry")
console = Console(highlight=False)

BENCH_PACKAGES = ("ctranslate2", "transformers", "matplotlib", "sacrebleu")

RELOAD_TIMEOUT_S = 600.0  # a large checkpoint is read first, and then requests finish before it is used

RegistryOption = Annotated[Path, typer.Option(help="Directory that holds the checkpoints, by name and version.")]
DataOption = Annotated[Path, typer.Option(envvar="TRIPTYCH_DATA", help="Folder of the text files that recipes name.")]


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="Settings as YAML; see service/config.py.")] = None,
    host: Annotated[str | None, typer.Option(help="Interface to listen on; 0.0.0.0 is all.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    registry: Annotated[str | None, typer.Option(help="Directory that holds the checkpoints.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; without it a local Ray is started.")] = None,
) -> None:
    """Serve the models over HTTP until Ctrl-C or SIGTERM."""
    from service.serving import run

    try:
        settings = Settings.load(config, host=host, port=port, registry=registry)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))} is {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise _failed(f"the settings cannot be used: {'; '.join(wrong)}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _failed(f"the settings cannot be used: {error}") from error
    raise typer.Exit(run(settings, address, console))


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe as YAML, such as models/training/recipes/translator.yaml.")],
    data: DataOption,
    runs: Annotated[Path, typer.Option(help="Folder for the state and the result of the run.")] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="Go on from where an interrupted run stopped.")] = True,
) -> None:
    """Train a model; the result is a checkpoint directory, which `publish` scores and adds to a registry."""
    from models.training.run import train as run_training
    from models.training.state import ResumeError
    from models.training.trainer import DivergedError, Interrupted

    try:
        directory = run_training(recipe, data, runs, resume=resume, say=console.print).checkpoint
    except (OSError, ValueError, ResumeError, DivergedError, Interrupted) as error:
        raise _failed(str(error)) from error
    console.print(f"Trained: {directory}\nNext: triptych publish {directory} --data {data}")


@app.command()
def publish(
    directory: Annotated[Path, typer.Argument(help="Checkpoint directory, as `train` leaves it.")],
    data: DataOption,
    registry: RegistryOption = Path(SHIPPED_REGISTRY),
) -> None:
    """Score a checkpoint on its test files through the serving engine, and publish it with its scores."""
    from models.checkpoint import CheckpointError
    from models.registry import RegistryError
    from models.training.publishing import publish as publish_checkpoint
    from service.scoring import score

    try:
        scores = score(directory, data, console)
        version = publish_checkpoint(directory, registry, scores)
    except (OSError, CheckpointError, RegistryError, ValueError) as error:
        raise _failed(str(error)) from error
    console.print(json.dumps(scores, indent=2, ensure_ascii=False))
    console.print(f"Published as {version}")


@registry_commands.command("list")
def list_registry(registry: RegistryOption = Path(SHIPPED_REGISTRY)) -> None:
    """Names, versions and scores; the current version is marked."""
    from models.checkpoint import read_manifest
    from models.registry import Registry

    checkpoints = Registry(registry)
    entries = checkpoints.list()
    if not entries:
        raise _failed(f"no checkpoints in {registry}")
    table = Table("checkpoint", "current", "scores", box=None)
    for entry in entries:
        for version in entry.versions:
            reference = f"{entry.name}@{version}"
            scores = read_manifest(checkpoints.resolve(reference)).scores
            listed = "\n".join(f"{name}: {_measures(value)}" for name, value in scores.items())
            table.add_row(reference, "*" if version == entry.current else "", listed)
    console.print(table)


@registry_commands.command()
def rollback(name: str, registry: RegistryOption = Path(SHIPPED_REGISTRY)) -> None:
    """Make the version before the current one current again."""
    from models.registry import Registry, RegistryError

    try:
        version = Registry(registry).rollback(name)
    except RegistryError as error:
        raise _failed(str(error)) from error
    console.print(f"{name}@{version} is current")


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
def bench(context: typer.Context) -> None:
    """Measure the engine against its peers, under arrivals, and by itself; `triptych bench --help` lists it all."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "loadtests" / "bench").is_dir():
        raise _failed(
            "the benchmarks come with the source, not with the package: install from a checkout, pip install -e ."
        )
    missing = [name for name in BENCH_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise _failed(
            f"the benchmarks need {', '.join(missing)}; install with: "
            f"{sys.executable} -m pip install -c {root / 'constraints.txt'} -e '{root}[bench]'"
        )
    sys.path.insert(0, str(root))  # an editable install names the packages service and models alone
    from loadtests.bench.cli import main as run_bench

    try:
        run_bench(context.args, console)
    except (OSError, ValueError) as error:
        raise _failed(str(error)) from error


@app.command("reload")
def reload_model(
    token: Annotated[
        str, typer.Option(envvar="TRIPTYCH_GATEWAY__ADMIN_TOKEN", help="What the service has as gateway.admin_token.")
    ],
    model: Annotated[str | None, typer.Argument(help="Its name in the settings; without it, all of them.")] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="NAME or NAME@VERSION; without it, what the settings name, as the registry has it now."),
    ] = None,
    url: Annotated[str, typer.Option(help="Where the service answers.")] = "http://127.0.0.1:8000",
) -> None:
    """Let a running service take new weights. No request fails, and what is unsound leaves the old ones serving."""
    from service.serving import ask

    if model is None and checkpoint is not None:
        raise _failed("--checkpoint is for one model: triptych reload MODEL --checkpoint NAME@VERSION")
    models = [model]
    if model is None:
        status, info = ask(f"{url}/info")
        if status != 200:
            raise _failed(f"no service answers at {url}: {info}")
        models = [each["name"] for each in info["models"]]
    for name in models:
        status, answer = ask(
            f"{url}/admin/reload",
            {"model": name, "checkpoint": checkpoint},
            headers={"authorization": f"Bearer {token}"},
            timeout_s=RELOAD_TIMEOUT_S,
        )
        if status != 200:
            error = answer["error"] if isinstance(answer, dict) else {"message": f"{url}: {answer}"}
            if error.get("code") == "not_found":
                raise _failed("the service was started without gateway.admin_token: it takes no reloads")
            raise _failed(error["message"])
        console.print(f"{name}: {answer['version']} (before: {answer['previous']})")


def _measures(score: Mapping[str, object]) -> str:
    """The figures of one test file; its signature and size are in the manifest."""
    return ", ".join(f"{name} {value}" for name, value in score.items() if isinstance(value, float))


def _failed(reason: str) -> typer.Exit:
    console.print(f"[red]triptych:[/red] {escape(reason)}", soft_wrap=True)
    return typer.Exit(2)


def main() -> None:
    # Ray prints its own notices unless told otherwise before it is imported.
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    app()


if __name__ == "__main__":
    main()
