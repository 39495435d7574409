"""The composition root: settings -> Ray Serve application. `deploy/serve.yaml` names `build` as its import path."""

from __future__ import annotations

from typing import Any

from ray.serve import Application

from service.config import Settings
from service.deployments.gateway import deploy_gateway
from service.deployments.model import deploy_model


def build(settings: Settings | dict[str, Any]) -> Application:
    """One deployment for the gateway and one for each model. A dict (from a Serve config file) is validated."""
    if not isinstance(settings, Settings):
        settings = Settings(**settings)
    models = {name: deploy_model(name, settings) for name in settings.models}
    return deploy_gateway(settings, models)
