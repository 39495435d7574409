from __future__ import annotations

import threading
from pathlib import Path

import pytest

from models import checkpoint
from models.registry import Registry, RegistryError, objects


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of what is downloaded, as it is."""
    seen: list[str] = []
    download = objects.Objects.download

    def noted(self: objects.Objects, key: str, path: Path) -> None:
        seen.append(key)
        download(self, key, path)

    monkeypatch.setattr(objects.Objects, "download", noted)
    return seen


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch):
    """Cuts the line to the store."""

    def now() -> None:
        def silent(self: objects.Objects, *asked: object) -> None:
            raise objects.Unreachable("the store cannot be used: no route")

        for call in ("names", "list", "read", "download", "write"):
            monkeypatch.setattr(objects.Objects, call, silent)

    return now


def test_a_version_is_downloaded_once_and_equal_files_are_kept_once(url, trained, cache, downloads):
    registry = Registry(url)
    registry.publish("poet", trained)
    registry.publish("poet", trained)
    first = registry.resolve("poet@1")
    assert sorted(downloads) == [f"poet/1/{file}" for file in ("config.json", "model.safetensors", "tokenizer.json")]
    assert registry.resolve("poet@1") == first
    second = registry.resolve("poet@2")
    assert len(downloads) == 3
    assert second != first
    assert (second / "model.safetensors").samefile(first / "model.safetensors")
    assert first.is_relative_to(cache)


def test_resolvers_at_once_download_once(url, trained, downloads):
    Registry(url).publish("poet", trained)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(Registry(url).resolve("poet"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert len(downloads) == 3
    checkpoint.verify(found[0])


def test_a_download_that_is_not_what_was_published_is_refused(url, trained, monkeypatch):
    registry = Registry(url)
    registry.publish("poet", trained)

    def corrupt(self: objects.Objects, key: str, path: Path) -> None:
        path.write_bytes(b"noise")

    with monkeypatch.context() as patched:
        patched.setattr(objects.Objects, "download", corrupt)
        with pytest.raises(RegistryError, match=r"poet@1: config.json has the SHA-256 \w+ after the download"):
            registry.resolve("poet")
    checkpoint.verify(registry.resolve("poet"))  # what was left behind does no harm


def test_a_cached_version_that_lost_a_part_is_downloaded_again(url, trained, downloads):
    registry = Registry(url)
    registry.publish("poet", trained)
    directory = registry.resolve("poet")
    (directory / "model.safetensors").write_bytes(b"cut")  # and with it the shared file
    (directory / "config.json").unlink()
    assert registry.resolve("poet") == directory
    checkpoint.verify(directory)
    assert downloads[3:] == ["poet/1/model.safetensors"]


def test_offline_a_named_version_comes_from_the_cache(url, trained, cut, caplog):
    registry = Registry(url)
    registry.publish("poet", trained)
    registry.publish("poet", trained)
    directory = registry.resolve("poet@1")
    cut()
    assert registry.resolve("poet@1") == directory
    assert "using the copy of poet@1 in the cache" in caplog.text
    for reference in ("poet", "poet@2", "painter@1"):
        with pytest.raises(RegistryError, match="no route"):
            registry.resolve(reference)


def test_another_registry_of_the_same_name_and_version_is_another_checkpoint(url, trained, scored, cut):
    Registry(f"{url}/a").publish("poet", trained)
    Registry(f"{url}/b").publish("poet", scored(7.0))
    first, second = Registry(f"{url}/a").resolve("poet@1"), Registry(f"{url}/b").resolve("poet@1")
    cut()
    assert Registry(f"{url}/a").resolve("poet@1") == first
    assert Registry(f"{url}/b").resolve("poet@1") == second
    assert checkpoint.read_manifest(second).scores == {"test": {"bleu": 7.0}}


def test_a_cache_that_cannot_be_written_is_said_plainly(url, trained, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "file" / "cache"))
    registry = Registry(url)
    registry.publish("poet", trained)
    with pytest.raises(RegistryError, match=r"file/cache cannot be written: .*TRIPTYCH_CACHE names another one"):
        registry.resolve("poet")


def test_without_a_setting_the_cache_is_in_the_home_directory(monkeypatch, tmp_path, trained):
    monkeypatch.delenv("TRIPTYCH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    registry = Registry(f"memory://{tmp_path.name}/home/models")
    registry.publish("poet", trained)
    assert registry.resolve("poet").is_relative_to(tmp_path / ".cache" / "triptych")
