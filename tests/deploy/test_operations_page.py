"""docs/operations.md says what is there, and nothing that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from service.config import FileSettings, GatewaySettings, ModelSettings, Settings
from tests.deploy.exposition import rendered

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def tables() -> list[list[list[str]]]:
    """Cells of every table's rows, without its head."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]] for block in blocks
    ]


def table_with(first: str) -> list[list[str]]:
    """The table that has `first` at the start of a row."""
    (found,) = [table for table in tables() if f"`{first}`" in [row[0] for row in table]]
    return found


@pytest.mark.parametrize(
    ("section", "first"),
    [(Settings, "host"), (GatewaySettings, "max_inputs"), (FileSettings, "max_jobs"), (ModelSettings, "checkpoint")],
)
def test_every_setting_is_listed_with_its_default(section: Any, first: str) -> None:
    listed = {name.strip("`"): default for name, default, _ in table_with(first)}
    fields: dict[str, FieldInfo] = section.__pydantic_fields__
    assert listed.keys() == fields.keys()
    for name, field in fields.items():
        default = field.default
        if field.is_required():
            assert listed[name] == "required", name
        elif default in (None, {}, ()):
            assert listed[name] == "none", name
        elif listed[name].startswith("`"):
            value = listed[name].strip("`")
            assert (yaml.safe_load(value) if isinstance(default, bool) else type(default)(value)) == default, name
        else:
            assert name in ("registry", "models", "gateway", "files"), f"{name} has the default {default!r}"


def test_every_metric_is_listed_with_its_labels() -> None:
    listed = {}
    for first in ("triptych_http_requests_total", "triptych_queue_time_seconds", "process_open_fds"):
        listed |= {name.strip("`"): set(re.findall(r"`(\w+)`", labels)) for name, labels, _ in table_with(first)}
    there: dict[str, set[str]] = {}
    for name, labels in rendered().items():
        if not name.endswith("_created"):
            there.setdefault(re.sub(r"_(bucket|sum|count)$", "", name), set()).update(labels - {"le", "replica"})
    assert listed == there


def test_every_alert_is_listed() -> None:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    listed = [row[0].strip("`") for row in table_with("TriptychDown")]
    assert listed == [rule["alert"] for group in groups for rule in group["rules"]]


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", PAGE)
    assert links
    for link in links:
        assert (ROOT / "docs" / link).exists(), link


def test_the_variable_given_as_an_example_works(monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = re.findall(r"(TRIPTYCH_GATEWAY__\w+)=(\d+)", PAGE)[0]
    monkeypatch.setenv(name, value)
    assert getattr(Settings().gateway, name.partition("__")[2].lower()) == int(value)
