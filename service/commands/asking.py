"""Where the commands that ask have their answers from: a service that runs, or a model in this process.

Knows nothing of what is asked. Heavy imports happen inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.parameters import as_options
from service.commands.terminal import errors, failed, plainly, settings_used
from service.config import SHIPPED_REGISTRY, Settings
from service.interruption import ended_at_once
from service.serving.asking import Client, HttpClient, NotAnswered, answered, local_url

if TYPE_CHECKING:
    from service.deployments.local import LocalClient

PROBE_S = 2.0  # for a service on this machine to say that it is there
WRONG_USE, NOT_DONE = 2, 1  # exit statuses

UrlOption = Annotated[
    str | None,
    typer.Option(
        help="Where a service answers.", show_default="the one on this machine; where none runs, as with --local"
    ),
]
LocalOption = Annotated[
    bool, typer.Option("--local", help="Load the model into this process and ask no service, even if one runs.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="By its name in /info of the service; in this process NAME or NAME@VERSION of the registry, too, or a "
        "checkpoint directory, which no service is asked for.",
        show_default="the first of the task",
    ),
]
LocalRegistryOption = Annotated[
    str | None,
    typer.Option(
        help="Directory or URL of the checkpoints, for a model in this process.",
        show_default=f"TRIPTYCH_REGISTRY, or {Path(SHIPPED_REGISTRY).name} beside the code",
    ),
]
KeyOption = Annotated[
    str | None, typer.Option(envvar="TRIPTYCH_KEY", help="Sent as the service's key.", show_default="none")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What the options say of who is to answer."""

    url: str | None
    local: bool
    registry: str | None
    key: str | None


@contextmanager
def opened(task: str, where: Where, model: str | None) -> Iterator[tuple[Client, str | None]]:
    """Who answers, and the name that it knows the model by."""
    if where.url is not None:
        if where.local or where.registry is not None:
            raise failed(f"{'--local' if where.local else '--registry'} is for a model in this process, --url for none")
        yield _running(where.url, where.key), model
        return
    with settings_used():
        settings = Settings.load(registry=where.registry)
    here = where.local or where.registry is not None or names_checkpoint(model)
    if not here and (running := _beside(settings, where.key)) is not None:
        yield running, model
        return
    client = _loaded(settings, task, model)
    try:
        yield client, None
    finally:
        client.close()


def names_checkpoint(model: str | None) -> bool:
    """A directory or a version: what services have no names for."""
    return model is not None and ("@" in model or Path(model).is_dir())


@contextmanager
def saying() -> Iterator[None]:
    """An answer that is an error ends the command with its sentence, in the words of the command line."""
    try:
        yield
    except NotAnswered as error:
        wrong = 400 <= error.status < 500 and error.status not in (408, 429, 499)
        raise failed(as_options(f"{error}"), WRONG_USE if wrong else NOT_DONE) from error


def _running(url: str, key: str | None) -> HttpClient:
    client = HttpClient(url, key)
    try:
        answered(client, "/info")
    except NotAnswered as error:
        reason = f"status {error.status}: {error}" if error.status else f"{error}"
        raise failed(f"no service answers at {client.url} ({reason}); start one with: triptych serve") from error
    return client


def _beside(settings: Settings, key: str | None) -> HttpClient | None:
    """The service that runs on this machine."""
    client = HttpClient(local_url(settings), key)
    status, info = client.ask("/info", timeout_s=PROBE_S)
    there = isinstance(info, dict) and ((status == 200 and "models" in info) or (status == 401 and "error" in info))
    return client if there else None  # who asks one for a key hears that it needs one


def _loaded(settings: Settings, task: str, model: str | None) -> LocalClient:
    with errors.status(f"Loading {model or f'a model to {task}'}"), plainly():
        with ended_at_once(partial(errors.show_cursor, True)):
            from service.deployments.local import LocalClient

        return LocalClient(settings, task, model)
