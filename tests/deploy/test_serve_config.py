"""deploy/serve.yaml, which `serve deploy` takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve import Application
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as call_builder
from ray.serve.schema import ServeDeploySchema

from service.app import build
from service.config import GatewaySettings, ModelSettings, Settings

PATH = Path(__file__).resolve().parents[2] / "deploy" / "serve.yaml"


@pytest.fixture
def config() -> ServeDeploySchema:
    return ServeDeploySchema.model_validate(yaml.safe_load(PATH.read_text(encoding="utf-8")))


@pytest.fixture
def args(config: ServeDeploySchema) -> dict[str, Any]:
    return config.applications[0].args


def test_ray_serve_takes_the_file_and_finds_the_builder(config: ServeDeploySchema) -> None:
    (application,) = config.applications
    assert application.import_path == f"{build.__module__}:{build.__name__}"
    assert application.route_prefix == "/"
    assert (config.http_options.host, config.http_options.port) == ("0.0.0.0", 8000)


def test_ray_serve_builds_the_application_from_the_arguments(args: dict[str, Any]) -> None:
    assert isinstance(call_builder(build, args), Application)


def test_the_shipped_models_are_served(args: dict[str, Any]) -> None:
    served = {name: (model.task, model.checkpoint) for name, model in Settings(**args).models.items()}
    assert served == {name: (model.task, model.checkpoint) for name, model in Settings().models.items()}


def test_a_replica_runs_as_many_threads_as_it_reserves_cores(args: dict[str, Any]) -> None:
    for model in Settings(**args).models.values():
        assert model.threads == model.cpus_per_replica


def test_every_setting_is_spelled_out_or_shown_in_a_comment() -> None:
    names = set(re.findall(r"^\s*(?:# )?(\w+):", PATH.read_text(encoding="utf-8"), re.MULTILINE))
    assert ModelSettings.__pydantic_fields__.keys() - names == {"max_prompt_tokens"}
    assert GatewaySettings.model_fields.keys() <= names
    assert Settings.model_fields.keys() - names == {"start_timeout_s"}  # Ray Serve has limits of its own


def test_a_misspelt_setting_is_refused(args: dict[str, Any]) -> None:
    args["gateway"]["max_inptus"] = 1
    with pytest.raises(ValidationError, match="max_inptus"):
        call_builder(build, args)
