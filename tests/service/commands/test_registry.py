from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from models.checkpoint import read_manifest, write_manifest
from models.lineage import DISTILLED_FROM, STARTS_FROM, Ancestor
from models.registry import Registry
from service.cli import app
from service.config import ModelSettings, Settings
from service.serving.preflight import check_checkpoints
from tests import checkpoints


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["registry", *map(str, arguments)], terminal_width=200)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    manifest = checkpoints.classifier(tmp_path / "made").manifest
    write_manifest(tmp_path / "made", dataclasses.replace(manifest, version=0))
    return tmp_path / "made"


@pytest.fixture
def registry(made: Path, tmp_path: Path) -> Path:
    """One version each of aaa and zzz, three of broken, of which the second is."""
    registry = Registry(tmp_path / "registry")
    for name in ("aaa", "broken", "broken", "broken", "zzz"):
        registry.publish(name, made)
    (tmp_path / "registry" / "broken" / "2" / "manifest.json").write_text("{")
    return tmp_path / "registry"


def test_a_corrupt_manifest_is_listed_with_the_reason_among_the_others(registry: Path) -> None:
    listed = run("list", "--registry", registry)
    assert listed.exit_code == 1  # all is listed, and something is wrong, as with `ls`
    rows = [line.split() for line in listed.output.splitlines() if "@" in line.split()[0]]
    assert [row[0] for row in rows] == ["aaa@1", "broken@1", "broken@2", "broken@3", "zzz@1"]
    assert "".join(listed.output.split()).count("cannotberead:") == 1
    assert "broken/2/manifest.json:notJSON" in "".join(listed.output.split())


def test_other_models_and_versions_are_shown_rolled_back_and_served(registry: Path) -> None:
    for reference in ("aaa", "broken", "broken@1"):
        assert run("show", reference, "--registry", registry).exit_code == 0
    shown = run("show", "broken@2", "--registry", registry)
    assert shown.exit_code == 2
    assert "broken/2/manifest.json: not JSON" in shown.output
    assert run("rollback", "broken", "--registry", registry).exit_code == 2
    assert run("rollback", "broken", "--to", 1, "--registry", registry).output == "broken@1 is current\n"
    models = {name: ModelSettings(task="classify", checkpoint=name) for name in ("aaa", "broken", "zzz")}
    assert all(check_checkpoints(Settings(registry=str(registry), models=models)).values())


def test_show_tells_the_lineage_as_a_chain_down_to_the_oldest(made: Path, tmp_path: Path) -> None:
    oldest = Ancestor(relation=STARTS_FROM, name="oldest", version=2, licence="MIT", data="Text\nof somebody")
    base = Ancestor(relation=STARTS_FROM, name="base", weights="ab" * 32, attribution="Anna", lineage=(oldest,))
    teacher = Ancestor(relation=DISTILLED_FROM, name="teacher", version=1)
    manifest = dataclasses.replace(read_manifest(made), version=0, lineage=(base, teacher))
    write_manifest(made, manifest)
    Registry(tmp_path / "registry").publish("newest", made)
    shown = run("show", "newest", "--registry", tmp_path / "registry").output
    chain = [
        "newest@1",
        "└ starts from base (not published, weights abababababab)",
        "  attribution: Anna",
        f"  SHA-256 of its weights: {'ab' * 32}",
        "  └ starts from oldest@2",
        "    licence: MIT",
        "    trained on: Text of somebody",
        "└ distilled from teacher@1",
    ]
    assert "lineage: |-\n" + "".join(f"  {line}\n" for line in chain) in shown
    assert yaml.safe_load(shown)["lineage"].splitlines() == chain


def test_a_model_that_cannot_be_collected_does_not_keep_the_others_from_it(registry: Path, made: Path) -> None:
    Registry(registry).publish("zzz", made)
    (registry / "broken" / "CURRENT").write_text("seven")
    collected = run("gc", "--keep", 1, "--registry", registry)
    assert collected.exit_code == 2
    assert "CURRENT says 'seven', expected a version" in collected.output
    assert "removed zzz@1" in collected.output
    listed = run("list", "--registry", registry)
    assert listed.exit_code == 1
    assert "CURRENTsays'seven',expectedaversion" in "".join(listed.output.split())
