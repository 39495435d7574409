"""The page /docs: the OpenAPI document as HTML that needs nothing from anywhere else.

Knows nothing of the endpoints but what the document says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

# The browser enforces what the page promises: nothing is fetched from other hosts.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
    )
}

_FORM = "multipart/form-data"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-bottom: 1px solid #8888; } code, pre, textarea { font: 14px/1.4 ui-monospace, monospace; }
pre { background: #8882; padding: .5rem; overflow: auto; white-space: pre-wrap; } textarea { width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .1rem 1rem .1rem 0; } :root { color-scheme: light dark; }
"""

_KEY = '<p><label>Your key <input id="key" type="password" autocomplete="off"></label></p>'
_SCRIPT = r"""
for (const form of document.forms) form.onsubmit = async (event) => {
  event.preventDefault();
  const output = form.querySelector("pre"), field = (name) => form.elements.namedItem(name);
  const sendsForm = form.enctype == "multipart/form-data";
  const body = field("body") ? field("body").value : sendsForm ? new FormData(form) : undefined;
  const headers = field("body") ? { "content-type": "application/json" } : {};
  const key = document.getElementById("key");
  if (key && key.value) headers.authorization = `Bearer ${key.value}`;
  const path = form.dataset.path.replace(/{(\w+)}/g, (_, name) => encodeURIComponent(field(name).value));
  const response = await fetch(path, { method: form.dataset.method, headers, body });
  output.textContent = response.status + "\n";
  const file = /filename(?:="|\*=utf-8'')([^"]*)/.exec(response.headers.get("content-disposition"));
  if (file) {
    const link = document.createElement("a");
    link.download = link.textContent = decodeURIComponent(file[1]);
    link.href = URL.createObjectURL(await response.blob());
    return output.append(link);
  }
  if (!response.body) return;
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part; !(part = await text.read()).done; ) output.textContent += part.value;
};
"""


def page(document: dict[str, Any]) -> str:
    schemas = document.get("components", {}).get("schemas", {})
    operations = [
        "".join(_operation(path, method, operation, schemas))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    key = _KEY if "securitySchemes" in document["components"] else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{escape(document['info'].get('description', ''))}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a></p>'
        f"{key}{''.join(operations)}<script>{_SCRIPT}</script></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>"
    bodies: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    kind = next(iter(bodies), "")
    content = bodies.get(kind, {})
    if "schema" in content:
        yield f"<table>{''.join(_fields(content['schema'], schemas))}</table>"
    parameters = operation.get("parameters", ())
    asked = [each["name"] for each in parameters if each["in"] == "path"]
    if needed := [each["name"] for each in parameters if each["in"] == "query" and each.get("required")]:
        asked += needed
        path = f"{path}?{'&'.join(f'{name}={{{name}}}' for name in needed)}"
    if kind == _FORM:
        asked = list(_resolved(content["schema"], schemas)["properties"])
    examples = content.get("examples", {} if kind == "application/json" else {"": {}})
    answered = any(status < "400" for status in operation.get("responses", {}))  # not only refused
    for name, example in examples.items() if answered else ():
        yield _form(path, method, name, example.get("value"), asked, kind)
    if answered and not examples:
        yield "<p>No model that is served has an example.</p>"
    errors = {status: answer for status, answer in operation.get("responses", {}).items() if status >= "400"}
    if errors:
        rows = (f"<tr><th>{status}<td>{escape(answer['description'])}" for status, answer in errors.items())
        yield f"<details><summary>Errors</summary><table>{''.join(rows)}</table></details>"


def _fields(schema: dict[str, Any], schemas: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """A row for each field, those of nested objects below it."""
    own, schema = schema, _resolved(schema, schemas)
    for name, field in schema.get("properties", {}).items():
        required = " (required)" if name in schema.get("required", ()) else ""
        yield f"<tr><td><code>{escape(prefix + name)}</code><td>{escape(_type(field, schemas) + required)}"
        yield f"<td>{escape(field.get('description', ''))}"
        for part in field.get("anyOf", ()):
            if "$ref" in part and part != own:  # generate_parameters are the parameters they stand among
                yield from _fields(part, schemas, f"{prefix}{name}.")


def _type(field: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(kind for part in field["anyOf"] if (kind := _type(part, schemas)) != "null")
    if "enum" in field:
        return " | ".join(one if isinstance(one, str) else json.dumps(one) for one in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), schemas)}"
    return str(_resolved(field, schemas)["type"])


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return schemas[reference.rpartition("/")[2]] if reference else schema


def _form(path: str, method: str, name: str, value: Any, asked: Sequence[str], kind: str) -> str:
    """`asked`: what has an input of its own, of the address or of a form; `value`: of a body that is JSON."""
    encoded = f' enctype="{_FORM}"' if kind == _FORM else ""
    inputs = "".join(
        f'<label>{each} <input name="{each}" type="{"file" if each == "file" else "text"}"></label> '
        for each in map(escape, asked)
    )
    body = ""
    if value is not None:
        text = json.dumps(value, ensure_ascii=False, indent=1)
        body = f'<textarea name="body" rows="{text.count(chr(10)) + 1}">{escape(text)}</textarea>'
    return (
        f'<form data-method="{method.upper()}" data-path="{escape(path.lstrip("/") or "./")}"{encoded}>'
        f"<p>{escape(name)}</p>{inputs}{body}<button>Send</button><pre></pre></form>"
    )
