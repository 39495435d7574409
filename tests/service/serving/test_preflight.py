"""What is checked before a service starts. Its life is in tests/e2e and tests/faults."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from models import checkpoint
from models.registry import Registry
from service.config import SHIPPED_MODELS, Settings
from service.serving import preflight
from service.serving.preflight import Refused
from tests import checkpoints

GIB = 2**30


def settings(registry: object, reference: str, task: str = "classify") -> Settings:
    return Settings(registry=str(registry), models={"mine": {"task": task, "checkpoint": reference}})


def refusal(registry: object, reference: str, task: str = "classify") -> str:
    with pytest.raises(Refused) as refused:
        preflight.check_checkpoints(settings(registry, reference, task))
    return str(refused.value)


@pytest.fixture
def classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    checkpoints.classifier(tmp_path / "made")
    return tmp_path / "made"


def test_a_registry_may_be_a_url(classifier: Path, tmp_path: Path) -> None:
    url = f"memory:/{tmp_path}/models"
    assert "no model 'classifier'" in refusal(url, "classifier")
    Registry(url).publish("classifier", classifier)
    weights = (classifier / checkpoint.WEIGHTS).stat().st_size
    assert preflight.check_checkpoints(settings(url, "classifier")) == {"mine": weights}
    assert "no model 'made'" in refusal(f"file://{tmp_path}", "made")
    assert "Protocol not known" in refusal("carrier://pigeon", "classifier")


def test_adapters_are_checked_with_the_base_that_they_are_kept_beside(classifier: Path, tmp_path: Path) -> None:
    checkpoints.beside(tmp_path / "beside", checkpoint.load(classifier), "classifier@1", "mine")
    url = f"memory:/{tmp_path}/models"
    Registry(url).publish("mine", tmp_path / "beside")
    assert "no model 'classifier@1'" in refusal(url, "mine")
    Registry(url).publish("classifier", classifier)
    alone = preflight.check_checkpoints(settings(url, "classifier"))["mine"]
    assert preflight.check_checkpoints(settings(url, "mine"))["mine"] > alone


def test_a_pre_trained_encoder_is_refused_with_what_to_do(classifier: Path, tmp_path: Path) -> None:
    manifest = dataclasses.replace(checkpoint.read_manifest(classifier), task="pretrain")
    checkpoint.write_manifest(classifier, manifest)
    Registry(tmp_path / "registry").publish("encoder", classifier)
    reason = refusal(tmp_path / "registry", "encoder")
    assert reason.startswith("mine: encoder is a pre-trained encoder: fine-tune it")
    assert "start: encoder" in reason


def test_a_checkpoint_of_another_task_than_the_settings_say_is_refused(classifier: Path) -> None:
    reason = refusal(classifier.parent, str(classifier), task="translate")
    assert reason == f"mine: the settings say task translate, but {classifier} is made to classify"


def test_too_little_memory_is_said_with_both_sizes(tmp_path: Path) -> None:
    settings = Settings(models={name: SHIPPED_MODELS[name] for name in ("translator", "generator", "classifier")})
    preflight.check_memory(settings, 0, None)
    preflight.check_memory(settings, 0, 4 * GIB)
    with pytest.raises(Refused, match=r"1\.0 GiB of memory are left, and 3 model replicas .* need about 1\.6 GiB"):
        preflight.check_memory(settings, 0, GIB)
    with pytest.raises(Refused, match=r"need about 13\.6 GiB"):
        preflight.check_memory(settings, 4 * GIB, 8 * GIB)


def test_the_port_is_taken_from_the_first_moment() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        preflight.listen("127.0.0.1", port),
        pytest.raises(Refused, match=rf"127\.0\.0\.1:{port}: .*--port {port + 1}"),
    ):
        preflight.listen("127.0.0.1", port)


def test_an_address_nobody_can_be_reached_at_is_said_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Refused, match=rf"no Ray cluster can be reached at 127\.0\.0\.1:{port}: .*refused"):
        preflight.check_reachable(f"127.0.0.1:{port}")
    with pytest.raises(Refused, match=r"no Ray cluster can be reached at 127\.0\.0\.1:99999: "):
        preflight.check_reachable("127.0.0.1:99999")
    for nonsense in ("here", "auto", "ray://host", ":6379"):
        with pytest.raises(Refused, match=f"--address is '{nonsense}', expected HOST:PORT"):
            preflight.check_reachable(nonsense)


def test_a_folder_is_removed_at_the_end_and_so_is_one_that_was_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "LONGEST_PARENT", 200)
    monkeypatch.setattr(preflight.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "triptych-left").mkdir()
    (tmp_path / "triptych-left/lock").touch()
    with preflight.own_folder() as first:
        assert not (tmp_path / "triptych-left").exists()
        with preflight.own_folder() as second:  # of another service that runs beside it
            assert Path(first).exists()
            assert first != second
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.tempfile, "gettempdir", lambda: "/proc/self")
    with (
        pytest.raises(Refused, match=r"no folder .* can be made: .*/proc/self/triptych-.*TMPDIR"),
        preflight.own_folder(),
    ):
        pass


def test_that_there_is_no_place_at_all_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp', '/']")

    monkeypatch.setattr(preflight.tempfile, "gettempdir", nowhere)
    with pytest.raises(Refused, match=r"can be made: .*No usable temporary directory.*TMPDIR"), preflight.own_folder():
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.5"])
def test_a_service_of_this_machine_alone_needs_no_keys(host: str) -> None:
    assert preflight.open_to_others(Settings(host=host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "my-host"])
def test_one_that_others_reach_without_keys_is_warned_of(host: str, tmp_path: Path) -> None:
    warning = preflight.open_to_others(Settings(host=host, port=8001))
    assert warning is not None
    assert f"{host} is not this machine alone, and no keys are asked for: whoever reaches port 8001" in warning
    assert preflight.open_to_others(Settings(host=host, gateway={"keys": tmp_path / "keys.yaml"})) is None


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        ({"keys": "/nowhere/keys.yaml"}, "No such file"),
        ({"glossaries": {"it": "/nowhere/it.tsv"}}, "the glossary /nowhere/it.tsv cannot be read"),
        ({"quota_storage": "pigeons://"}, "quotas cannot be counted at 'pigeons://'"),
    ],
)
def test_what_the_gateway_cannot_read_is_said_before_anything_starts(gateway: dict, said: str) -> None:
    with pytest.raises(Refused, match=said):
        preflight.check_gateway(Settings(gateway=gateway).gateway)
