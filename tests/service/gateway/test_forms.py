"""Forms as the bodies that they would be as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field
from starlette.requests import Request

from service.gateway.fields import ANY_TEXT, Body, Neutral, as_list, one_or_several
from service.gateway.forms import MULTIPART, URLENCODED, documented, read_body_or_form


class Asked(Body):
    q: Annotated[list[str], as_list, one_or_several(ANY_TEXT)]
    format: Literal["text", "html"] | None = Field(default=None)
    alt: Annotated[Any, Neutral("json")] = None


async def read(form: str) -> Asked:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": form.encode(), "more_body": False}

    headers = [(b"content-type", URLENCODED.encode())]
    return await read_body_or_form(Request({"type": "http", "method": "POST", "headers": headers}, receive), Asked)


async def test_an_empty_field_is_one_that_nobody_filled_in():
    assert await read("q=a&format=&alt=") == Asked(q=["a"])


async def test_of_several_fields_with_one_name_none_is_lost():
    assert (await read("q=&q=a&q=")).q == ["", "a", ""]


@pytest.mark.parametrize("kind", [URLENCODED, MULTIPART])
@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"q": "a"}, True),
        ({"q": ["a", ""], "format": "html", "alt": "json"}, True),
        ({"q": "a", "format": "", "alt": ""}, True),
        ({"q": "a", "format": None}, False),
        ({"q": "a", "alt": "xml"}, False),
        ({"format": "html"}, False),
    ],
)
def test_the_document_says_what_a_form_may_have(kind: str, fields: dict[str, Any], allowed: bool):
    schema = documented(Asked)["requestBody"]["content"][kind]["schema"]
    assert Draft202012Validator(schema).is_valid(fields) == allowed
