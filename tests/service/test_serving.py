"""What is checked before a service starts. Its life is in tests/e2e."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from models import checkpoint
from models.registry import Registry
from service.config import Settings
from service.serving import checkpoint_missing
from tests import checkpoints


def settings(registry: object, reference: str) -> Settings:
    return Settings(registry=str(registry), models={"mine": {"task": "classify", "checkpoint": reference}})


@pytest.fixture
def classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    checkpoints.classifier(tmp_path / "made")
    return tmp_path / "made"


def test_a_registry_may_be_a_url(classifier: Path, tmp_path: Path) -> None:
    url = f"memory:/{tmp_path}/models"
    assert "no model 'classifier'" in (checkpoint_missing(settings(url, "classifier")) or "")
    Registry(url).publish("classifier", classifier)
    assert checkpoint_missing(settings(url, "classifier")) is None
    assert checkpoint_missing(settings(f"file://{tmp_path}", "made")) is not None
    assert "Protocol not known" in (checkpoint_missing(settings("carrier://pigeon", "classifier")) or "")


def test_a_pre_trained_encoder_is_refused_with_what_to_do(classifier: Path, tmp_path: Path) -> None:
    manifest = dataclasses.replace(checkpoint.read_manifest(classifier), task="pretrain")
    checkpoint.write_manifest(classifier, manifest)
    Registry(tmp_path / "registry").publish("encoder", classifier)
    reason = checkpoint_missing(settings(tmp_path / "registry", "encoder"))
    assert reason is not None
    assert reason.startswith("mine: encoder is a pre-trained encoder, which answers no requests: fine-tune it")
    assert "start: encoder" in reason
