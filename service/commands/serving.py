"""`triptych serve` and `triptych reload`. Heavy imports happen inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError

from service.commands.terminal import console, failed
from service.config import Settings, in_words

RELOAD_TIMEOUT_S = 600.0  # a large checkpoint is read first, and then requests finish before it is used


def serve(
    config: Annotated[Path | None, typer.Option(help="Settings as YAML; see service/config.py.")] = None,
    host: Annotated[str | None, typer.Option(help="Interface to listen on; 0.0.0.0 is all.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    registry: Annotated[str | None, typer.Option(help="Directory or URL that holds the checkpoints.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; without it a local Ray is started.")] = None,
) -> None:
    """Serve the models over HTTP until Ctrl-C or SIGTERM."""
    from service.serving.run import run

    try:
        settings = Settings.load(config, host=host, port=port, registry=registry)
    except ValidationError as error:
        raise failed(f"the settings cannot be used: {in_words(error)}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise failed(f"the settings cannot be used: {error}") from error
    raise typer.Exit(run(settings, address, console))


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
    from service.serving.asking import ask

    if model is None and checkpoint is not None:
        raise failed("--checkpoint is for one model: triptych reload MODEL --checkpoint NAME@VERSION")
    models = [model]
    if model is None:
        status, info = ask(f"{url}/info")
        if status != 200:
            raise failed(f"no service answers at {url}: {info}")
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
                raise failed("the service was started without gateway.admin_token: it takes no reloads")
            raise failed(error["message"])
        console.print(f"{name}: {answer['version']} (before: {answer['previous']})")
