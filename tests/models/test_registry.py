import json
import threading
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.architectures import build
from models.checkpoint import CheckpointError, Manifest
from models.config import GPTConfig
from models.registry import Entry, Registry, RegistryError
from models.tokenizer import train_byte_bpe


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("trained")
    tokenizer = train_byte_bpe(["the cat sat"], 270)
    torch.manual_seed(1)
    config = GPTConfig(vocab_size=tokenizer.vocab_size, layers=1, context=16, width=16, heads=2, feedforward=32)
    manifest = Manifest(name="untold", architecture="gpt", task="generate")
    checkpoint.save(directory, model=build(config), tokenizer=tokenizer, manifest=manifest)
    return directory


@pytest.fixture
def registry(tmp_path) -> Registry:
    return Registry(tmp_path / "registry")


def test_versions_count_from_one_and_the_newest_is_current(registry, trained):
    assert [registry.publish("poet", trained) for _ in range(3)] == [1, 2, 3]
    assert registry.list() == (Entry("poet", (1, 2, 3), 3),)
    assert registry.resolve("poet") == registry.root / "poet" / "3"


def test_a_published_manifest_knows_its_name_and_version(registry, trained):
    registry.publish("poet", trained)
    registry.publish("poet", trained)
    manifest = checkpoint.load(registry.resolve("poet@2")).manifest
    assert (manifest.name, manifest.version) == ("poet", 2)
    assert checkpoint.read_manifest(trained).version == 0


def test_a_function_may_write_the_checkpoint(registry, trained):
    def write(directory: Path) -> None:
        loaded = checkpoint.load(trained)
        checkpoint.save(directory, model=loaded.model, tokenizer=loaded.tokenizer, manifest=loaded.manifest)

    assert registry.publish("poet", write) == 1
    checkpoint.verify(registry.resolve("poet"))


def test_publishing_leaves_earlier_versions_as_they_were(registry, trained):
    registry.publish("poet", trained)
    before = {path.name: path.read_bytes() for path in registry.resolve("poet@1").iterdir()}
    registry.publish("poet", trained)
    assert {path.name: path.read_bytes() for path in registry.resolve("poet@1").iterdir()} == before


def test_a_path_to_a_checkpoint_resolves_to_itself(registry, trained):
    assert registry.resolve(str(trained)) == trained


def test_rolling_back_goes_one_version_back_or_to_any(registry, trained):
    for _ in range(3):
        registry.publish("poet", trained)
    assert registry.rollback("poet") == 2
    assert registry.resolve("poet").name == "2"
    assert registry.rollback("poet", 3) == 3
    assert registry.rollback("poet", 1) == 1
    with pytest.raises(RegistryError, match="no version of 'poet' before the current one: 1 of 1, 2, 3"):
        registry.rollback("poet")
    with pytest.raises(RegistryError, match="no version 7 of 'poet': there are 1, 2, 3"):
        registry.rollback("poet", 7)


def test_after_a_rollback_the_next_version_gets_a_new_number(registry, trained):
    registry.publish("poet", trained)
    registry.publish("poet", trained)
    registry.rollback("poet")
    assert registry.publish("poet", trained) == 3
    assert registry.current("poet") == 3


def test_what_is_not_there_is_answered_with_what_is(registry, trained):
    with pytest.raises(RegistryError, match=r"no model 'poet'.* has nothing"):
        registry.resolve("poet")
    registry.publish("poet", trained)
    with pytest.raises(RegistryError, match=r"no model 'painter'.* has poet"):
        registry.resolve("painter")
    for version in ("2", "", "one"):
        with pytest.raises(RegistryError, match=f"no version '{version}' of 'poet': there are 1"):
            registry.resolve(f"poet@{version}")
    with pytest.raises(RegistryError, match="no model 'painter'"):
        registry.rollback("painter")


@pytest.mark.parametrize("name", ["", "../poet", "Poet", "a/b", ".hidden", "x" * 64])
def test_a_name_that_could_leave_the_registry_is_refused(registry, trained, name):
    with pytest.raises(RegistryError, match="no model name"):
        registry.publish(name, trained)
    with pytest.raises(RegistryError):
        registry.resolve(f"{name}@1")


def test_a_damaged_checkpoint_is_not_published(registry, trained):
    def write(directory: Path) -> None:
        for file in trained.iterdir():
            (directory / file.name).write_bytes(file.read_bytes())
        (directory / "config.json").write_text("{}")

    with pytest.raises(CheckpointError, match=r"config.json: SHA-256"):
        registry.publish("poet", write)
    assert registry.list() == ()
    assert [path.name for path in (registry.root / "poet").iterdir()] == []


def test_a_publisher_that_dies_half_way_leaves_no_version(registry, trained):
    registry.publish("poet", trained)
    half = registry.root / "poet" / ".publishing-dead"
    half.mkdir()
    (half / "config.json").write_text("{")
    assert registry.list() == (Entry("poet", (1,), 1),)
    assert registry.publish("poet", trained) == 2


def test_publishers_at_once_each_get_a_version_of_their_own(registry, trained):
    versions: list[int] = []
    start = threading.Barrier(8)

    def publish() -> None:
        start.wait()
        versions.append(Registry(registry.root).publish("poet", trained))

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == list(range(1, 9))
    assert registry.list() == (Entry("poet", tuple(range(1, 9)), 8),)
    for version in versions:
        directory = registry.resolve(f"poet@{version}")
        assert json.loads((directory / "manifest.json").read_text())["version"] == version
        checkpoint.verify(directory)


def test_a_pointer_to_nowhere_is_explained(registry, trained):
    registry.publish("poet", trained)
    (registry.root / "poet" / "CURRENT").write_text("9\n")
    with pytest.raises(RegistryError, match="says '9', but there are 1"):
        registry.resolve("poet")
