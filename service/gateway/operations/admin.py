"""For those who change what is served: POST /admin/reload. There is no such route without a token in the settings."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import Unauthorized, UnknownModel
from service.gateway.fields import Body
from service.gateway.parsing import read_body
from service.gateway.traffic import Traffic

RELOAD = "/admin/reload"


class ReloadBody(Body):
    model: str
    # Of the registry: a path in the settings is the operator's, one in a request could lead anywhere.
    checkpoint: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}(@[0-9]{1,9})?$")] | None = None


def add_admin_routes(app: FastAPI, traffic: Traffic) -> None:
    token, catalogue = traffic.settings.admin_token, traffic.catalogue
    if token is None:
        return
    expected = f"Bearer {token.get_secret_value()}".encode()

    @app.post(RELOAD, include_in_schema=False)
    async def reload(request: Request) -> Response:
        """Answers when the model serves the checkpoint, or why it goes on with the one it has."""
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            raise Unauthorized("this needs the header authorization: Bearer TOKEN, with gateway.admin_token")
        body = await read_body(request, ReloadBody)
        for model in catalogue.models:
            if model.name == body.model:
                previous = (await model.info()).version
                info = await model.worker.reload(body.checkpoint)
                model.heard(info.version)
                return JSONResponse({"model": model.name, "previous": previous, "version": info.version})
        available = [model.name for model in catalogue.models]
        raise UnknownModel(f"no model {body.model[:80]!r}; available: {', '.join(available)}", available=available)
