"""`triptych registry list | show | rollback | gc`. Heavy imports happen inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.markup import escape
from rich.table import Column, Table

from service.commands.terminal import RegistryOption, console, failed, plainly, say
from service.config import SHIPPED_REGISTRY

commands = typer.Typer(no_args_is_help=True, help="Look at the checkpoints a registry holds, roll back, clean up.")

if TYPE_CHECKING:
    from models.lineage import Ancestor


@commands.command("list")
def list_registry(registry: RegistryOption = SHIPPED_REGISTRY) -> None:
    """Versions with their scores, sizes and dates; the current ones are marked.

    What cannot be read is listed with the reason, and the exit status is 1 then, as that of `ls`.
    """
    with plainly():
        from models.checkpoint import CheckpointError
        from models.registry import Registry, RegistryError, Unreachable

        checkpoints = Registry(registry)
        entries = checkpoints.list()
        if not entries:
            raise failed(f"no checkpoints in {registry}")
        columns = "checkpoint", "current", Column("scores", overflow="fold"), "size", "published"
        table = Table(*columns, box=None)
        unreadable = sum(bool(entry.problem) for entry in entries)
        for entry in entries:
            if entry.problem:
                table.add_row(entry.name, "?", _problem(entry.problem), "-", "-")
            for version in entry.versions:
                row = f"{entry.name}@{version}", "*" if version == entry.current else ""
                try:
                    manifest = checkpoints.manifest(entry.name, version)
                except Unreachable:
                    raise
                except (OSError, CheckpointError, RegistryError) as error:
                    unreadable += 1
                    table.add_row(*row, _problem(str(error)), "-", "-")
                    continue
                listed = "\n".join(f"{name}: {_measures(value)}" for name, value in manifest.scores.items())
                published = str(manifest.publication.get("at", "-"))[:10]
                forced = ", forced" if manifest.publication.get("forced") else ""
                table.add_row(*row, escape(listed), _size(manifest.size), published + forced)
        console.print(table)
    if unreadable:
        raise typer.Exit(1)


@commands.command()
def show(
    reference: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="Without a version, the current one.")],
    registry: RegistryOption = SHIPPED_REGISTRY,
) -> None:
    """Everything that is known of a version, and where its model card lies."""
    with plainly():
        from models.checkpoint import CARD
        from models.registry import Registry

        checkpoints = Registry(registry)
        name, version = checkpoints.locate(reference)
        manifest = checkpoints.manifest(name, version)
        place = f"{str(checkpoints.root).rstrip('/')}/{name}/{version}"
        shown = {
            "checkpoint": f"{name}@{version}" + (" (current)" if version == checkpoints.current(name) else ""),
            "place": place,
            "card": f"{place}/{CARD}" if CARD in manifest.files else "none",
            "lineage": _Block("\n".join([f"{name}@{version}", *_chain(manifest.lineage)])) if manifest.lineage else "",
            "architecture": manifest.architecture,
            "task": manifest.task,
            "language_pairs": [f"{source}-{target}" for source, target in manifest.language_pairs],
            "labels": list(manifest.labels),
            "takes_pairs": manifest.takes_pairs,
            "examples": manifest.examples,
            "kept beside": manifest.adapter and dataclasses.asdict(manifest.adapter),
            "published": manifest.publication,
            "scores": manifest.scores,
            "data": manifest.data,
            "licence": manifest.licence,
            "attribution": manifest.attribution,
            "files": {
                file: f"{_size(facts['bytes'])}, sha256 {facts['sha256']}" for file, facts in manifest.files.items()
            },
            "training": manifest.training,
            "versions": manifest.versions,
        }
    kept = {key: value for key, value in shown.items() if value}
    text = yaml.dump(kept, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    say(text, end="")


@commands.command()
def rollback(
    name: str,
    to: Annotated[int | None, typer.Option(help="Version.", show_default="the one before the current one")] = None,
    registry: RegistryOption = SHIPPED_REGISTRY,
) -> None:
    """Make the version before the current one current again, or any other."""
    with plainly():
        from models.registry import Registry

        version = Registry(registry).rollback(name, to)
    console.print(f"{name}@{version} is current")


@commands.command()
def gc(
    name: Annotated[str | None, typer.Argument(help="Of a model; without it, all of them.")] = None,
    keep: Annotated[int, typer.Option(min=1, help="So many of the newest versions stay, and the current one.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    registry: RegistryOption = SHIPPED_REGISTRY,
) -> None:
    """Remove old versions, and what publishers that died left behind an hour ago or earlier."""
    with plainly():
        from models.registry import Registry, RegistryError, Unreachable

        checkpoints = Registry(registry)
        total, failure = 0, None
        for each in (name,) if name is not None else checkpoints.names():
            try:
                removals = checkpoints.collect(each, keep, dry_run=dry_run)
            except Unreachable:
                raise
            except (OSError, RegistryError) as error:  # of one model; the others are collected
                failure = failed(str(error))
                continue
            for removal in removals:
                console.print(f"{'would remove' if dry_run else 'removed'} {removal.what}, {_size(removal.size)}")
                total += removal.size
    console.print(f"{_size(total)} {'would be freed' if dry_run else 'freed'}")
    if failure is not None:
        raise failure


class _Block(str):
    """A text of several lines that YAML shows as it is."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def _chain(ancestors: Iterable[Ancestor], indent: str = "") -> Iterator[str]:
    """From what a model was made with to the oldest, each below the one that came of it."""
    for each in ancestors:
        yield f"{indent}└ {each.relation} {each.reference}"
        facts = {
            "licence": each.licence, "trained on": each.data, "attribution": each.attribution,
            "SHA-256 of its weights": each.weights,
        }  # fmt: skip
        yield from (f"{indent}  {fact}: {' '.join(text.split())}" for fact, text in facts.items() if text)
        yield from _chain(each.lineage, indent + "  ")


def _problem(reason: str) -> str:
    return f"[red]cannot be read:[/red] {escape(reason)}"


def _measures(score: object) -> str:
    """The figures of one test file; `show` has its signature and size, too."""
    if not isinstance(score, Mapping):
        return ""
    return ", ".join(f"{name} {value}" for name, value in score.items() if isinstance(value, float))


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"
