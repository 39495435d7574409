"""The OpenAPI document against what the gateway does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from service.errors import ServiceError
from service.gateway.huggingface.detect import DetectBody
from service.gateway.huggingface.tasks import TASKS
from service.gateway.parsing import parse_body
from tests.service.gateway.conftest import Stand

# A document cannot say all that a model's limits, or several fields together, rule out: there a 422 may be. The address
# itself leads to the documentation.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 307, 404, 422]

[[operations]]
include-path-regex = "^/(deepl|language|azure)/"  # whose clients know 400 for it
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404]
"""
BODIES = {body.__name__: body for body in (*TASKS.values(), DetectBody)}
VALUES = [None, True, False, -1, 0, 1, 2, 0.5, 101, "", "1", "never", [], ["."], [1], {}, {"3": 1}, {"3": True}]
PAIRS = [{"text": "a", "text_pair": second} for second in (None, "b", 5)]


@pytest.mark.parametrize("examples", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_schemathesis_finds_nothing_that_the_document_does_not_say(server: str, tmp_path: Path, examples: int) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server}/openapi.json"]
    options = ["--checks", "all", "--max-examples", str(examples), "--seed", "1", "--no-color"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return Stand().app.openapi()


def agree(document: dict[str, Any], name: str, body: dict[str, Any]) -> None:
    """The document allows the body, or the gateway refuses it."""
    reference = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    allowed = Draft202012Validator(reference).is_valid(body)
    said = "it is taken"
    try:
        parse_body(json.dumps(body).encode(), BODIES[name])
    except ServiceError as error:
        said = error.message
    assert allowed == (said == "it is taken"), f"{body}: {said}"


@pytest.mark.parametrize("name", BODIES)
def test_each_field_takes_exactly_what_the_document_says(document: dict[str, Any], name: str) -> None:
    schemas = document["components"]["schemas"]
    for field in schemas[name]["properties"]:
        for value in [*VALUES, *PAIRS, PAIRS]:
            if field != "inputs" or value not in ("", []):  # what is empty has an error of its own, later
                agree(document, name, {"inputs": "a", field: value})
    for field, schema in schemas[name.replace("Body", "Parameters")]["properties"].items():
        bounds = [kind[bound] for kind in schema.get("anyOf", ()) for bound in ("minimum", "maximum") if bound in kind]
        for value in [*VALUES, *bounds]:
            agree(document, name, {"inputs": "a", "parameters": {field: value}})


def test_no_schema_of_the_document_is_empty(document: dict[str, Any]) -> None:
    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                assert not (key in ("schema", "itemSchema", "items") and value == {}), path
                walk(value, f"{path}/{key}")
            for name, field in (node.get("properties") or {}).items():
                meaning = field.keys() - {"title", "default", "description"}
                assert meaning, f"{path}/{name}"
        elif isinstance(node, list):
            for number, value in enumerate(node):
                walk(value, f"{path}/{number}")

    walk(document, "")


def test_what_matters_most_comes_first(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in BODIES:
        assert list(schemas[name]["properties"])[:4] == ["inputs", "parameters", "stream", "model"]
    assert list(schemas["TranslateParameters"]["properties"])[:3] == ["src_lang", "tgt_lang", "max_new_tokens"]
    assert list(schemas["GenerateParameters"]["properties"])[:3] == ["max_new_tokens", "num_beams", "do_sample"]


def operations_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for operations in document["paths"].values() for operation in operations.values()]


def test_each_operation_is_called_by_its_path(document: dict[str, Any]) -> None:
    called = [operation["operationId"] for operation in operations_of(document)]
    assert len(set(called)) == len(called)
    assert {"translate", "v1_chat_completions", "get_readyz", "delete_translate_file_id", "root", "get_root"} <= {
        *called
    }


def test_what_a_request_may_have_in_its_head_is_described(document: dict[str, Any]) -> None:
    described = {parameter["name"]: parameter for parameter in document["components"]["parameters"].values()}
    assert set(described) == {"x-request-id", "x-request-timeout-ms"}
    for name, parameter in described.items():
        assert parameter["in"] == "header"
        assert parameter["description"]
        assert name in document["info"]["description"]


def test_where_keys_are_asked_for_the_document_says_so(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text("keys: []")
    document = Stand({"keys": tmp_path / "keys.yaml"}).app.openapi()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
    for path, method, keyed in (("/translate", "post", True), ("/v1/models", "get", True), ("/livez", "get", False)):
        operation = document["paths"][path][method]
        assert ("security" in operation) == keyed
        assert ({"401", "403", "429"} <= operation["responses"].keys()) == keyed


def test_without_keys_it_asks_for_none(document: dict[str, Any]) -> None:
    assert "securitySchemes" not in document["components"]
    assert not any("security" in operation for operation in operations_of(document))
