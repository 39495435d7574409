from __future__ import annotations

import json
import shutil
from contextlib import suppress

import fsspec
import pytest

from models import checkpoint
from models.checkpoint import Manifest
from models.registry import Entry, Registry, RegistryError, Unreachable, object_store, objects
from models.registry.object_store import ObjectStore


def keys(url: str) -> list[str]:
    """Of everything below it, as the store itself tells them."""
    fs, root = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return sorted(path.removeprefix(root).lstrip("/") for path in fs.find(root))


def write(url: str, key: str, content: bytes) -> None:
    fsspec.filesystem(url.split("://")[0]).pipe_file(f"{url}/{key}", content)


def elsewhere(url: str) -> fsspec.AbstractFileSystem:
    """The store as another process has it: what it writes clears no cache of this one."""
    return fsspec.filesystem(url.split("://")[0], skip_instance_cache=True)


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was written, it was long ago."""
    monkeypatch.setattr(object_store, "LEFTOVER_S", -60.0)


def test_the_layout_is_the_one_of_a_directory_with_claims_and_a_chain(url, trained):
    registry = Registry(url)
    registry.publish("poet", trained)
    registry.publish("poet", trained)
    registry.rollback("poet")
    files = [".claim", "config.json", "manifest.json", "model.safetensors", "tokenizer.json"]
    assert keys(url) == sorted(
        [f"poet/{version}/{file}" for version in (1, 2) for file in files]
        + [f"poet/.current/0000000{position}" for position in (1, 2, 3)]
    )


def test_a_directory_that_was_copied_to_the_store_is_a_registry(url, trained, tmp_path):
    local = Registry(tmp_path / "local")
    for _ in range(3):
        local.publish("poet", trained)
    local.rollback("poet")
    fs, root = fsspec.core.url_to_fs(url)
    for path in (tmp_path / "local" / "poet").rglob("*"):
        if path.is_file() and path.name != ".lock":
            fs.put_file(str(path), f"{root}/poet/{path.relative_to(tmp_path / 'local' / 'poet')}")
    registry = Registry(url)
    assert registry.list() == (Entry("poet", (1, 2, 3), 2),)
    assert checkpoint.verify(registry.resolve("poet")).version == 2
    assert registry.publish("poet", trained) == 4
    assert registry.list() == (Entry("poet", (1, 2, 3, 4), 4),)
    assert registry.rollback("poet", 1) == 1


def test_a_number_whose_publisher_died_is_seen_by_nobody_and_given_to_nobody(url, trained):
    registry = Registry(url)
    registry.publish("poet", trained)
    write(url, "poet/2/.claim", b"a publisher that died")
    write(url, "poet/2/config.json", b"{")
    assert registry.list() == (Entry("poet", (1,), 1),)
    with pytest.raises(RegistryError, match="no version '2' of 'poet': there are 1"):
        registry.resolve("poet@2")
    assert registry.publish("poet", trained) == 3
    assert registry.list() == (Entry("poet", (1, 3), 3),)


def test_what_dead_publishers_left_is_collected_once_it_is_old(url, trained, monkeypatch):
    registry = Registry(url)
    registry.publish("poet", trained)
    write(url, "poet/2/.claim", b"a publisher that died")
    write(url, "poet/2/config.json", b"{")
    assert registry.collect("poet", 1) == ()
    monkeypatch.setattr(object_store, "LEFTOVER_S", -60.0)
    (would,) = registry.collect("poet", 1, dry_run=True)
    assert would.what == f"{url}/poet/2"
    assert would.size == len(b"a publisher that died{")
    assert registry.collect("poet", 1) == (would,)
    assert [key for key in keys(url) if key.startswith("poet/2")] == ["poet/2/manifest.json"]
    assert registry.collect("poet", 1) == ()
    assert registry.publish("poet", trained) == 3


def test_a_publisher_that_was_taken_for_dead_publishes_nothing(url, trained, old, monkeypatch):
    registry = Registry(url)
    registry.publish("poet", trained)

    def stall(self: ObjectStore, name: str, *others: object) -> None:
        assert len(Registry(url).collect(name, 1)) == 1

    monkeypatch.setattr(ObjectStore, "_check_upload", stall)
    with pytest.raises(RegistryError, match="poet/2 was taken for a leftover and collected: publish again"):
        registry.publish("poet", trained)
    assert registry.list() == (Entry("poet", (1,), 1),)
    assert [key for key in keys(url) if key.startswith("poet/2")] == ["poet/2/manifest.json"]


def test_a_publisher_that_comes_late_does_not_get_a_number_that_was_removed(url, trained, monkeypatch):
    registry = Registry(url)
    for _ in range(4):
        registry.publish("poet", trained)
    registry.collect("poet", 1)
    listed = ObjectStore._look
    stale = [True]

    def look(self: ObjectStore, name: str) -> object_store._Home:
        home = listed(self, name)
        return object_store._Home({}, 0, False) if stale and stale.pop() else home

    store = ObjectStore(url)
    monkeypatch.setattr(ObjectStore, "_look", look)
    assert store._claim("poet") == 5


def test_an_upload_that_fails_leaves_no_version_and_says_so(url, trained, monkeypatch):
    registry = Registry(url)
    registry.publish("poet", trained)

    def broken(self: objects.Objects, path: object, key: str) -> None:
        raise objects.Unreachable(f"{url} cannot be used: the line is cut")

    with monkeypatch.context() as patched:
        patched.setattr(objects.Objects, "upload", broken)
        with pytest.raises(RegistryError, match="the line is cut"):
            registry.publish("poet", trained)
    assert registry.list() == (Entry("poet", (1,), 1),)
    assert registry.publish("poet", trained) == 3


def test_an_upload_that_is_short_is_noticed(url, trained, monkeypatch):
    def short(self: objects.Objects, path: object, key: str) -> None:
        self.write(key, b"{")

    monkeypatch.setattr(objects.Objects, "upload", short)
    with pytest.raises(RegistryError, match=r"poet/1/config.json has 1 bytes after the upload, expected \d+"):
        Registry(url).publish("poet", trained)
    assert Registry(url).list() == ()


def test_a_version_that_becomes_current_while_it_is_collected_stays(url, trained, monkeypatch):
    registry = Registry(url)
    for _ in range(3):
        registry.publish("poet", trained)
    before = registry.resolve("poet@1")
    written = objects.Objects.write

    def roll_back_first(self: objects.Objects, key: str, content: bytes) -> None:
        if key == "poet/1/manifest.json" and content == b"removed\n":
            Registry(url).rollback("poet", 1)
        written(self, key, content)

    monkeypatch.setattr(objects.Objects, "write", roll_back_first)
    assert [removal.what for removal in registry.collect("poet", 1)] == ["poet@2"]
    assert registry.list() == (Entry("poet", (1, 3), 1),)
    assert registry.resolve("poet") == before


def test_a_version_that_is_removed_while_it_becomes_current_gives_its_place_back(url, trained, monkeypatch):
    registry = Registry(url)
    for _ in range(3):
        registry.publish("poet", trained)
    append = ObjectStore._append

    def collect_first(self: ObjectStore, *entry: object) -> bool:
        monkeypatch.setattr(ObjectStore, "_append", append)
        assert [removal.what for removal in Registry(url).collect("poet", 1)] == ["poet@1", "poet@2"]
        return append(self, *entry)

    monkeypatch.setattr(ObjectStore, "_append", collect_first)
    with pytest.raises(RegistryError, match="poet@1 was removed in this moment; poet@3 is current again"):
        registry.rollback("poet", 1)
    assert registry.list() == (Entry("poet", (3,), 3),)
    with pytest.raises(RegistryError, match="poet@1 was removed from"):
        registry.manifest("poet", 1)


def test_a_line_that_is_cut_before_a_version_is_current_leaves_the_version(url, trained, monkeypatch):
    registry = Registry(url)
    registry.publish("poet", trained)
    created = objects.Objects.create

    def cut(self: objects.Objects, key: str, content: bytes) -> bool:
        if key == "poet/.current/00000002":
            raise Unreachable("the line is cut")
        return created(self, key, content)

    with monkeypatch.context() as patched:
        patched.setattr(objects.Objects, "create", cut)
        with pytest.raises(Unreachable, match="poet@2 is published, but perhaps not current: the line is cut"):
            registry.publish("poet", trained)
    assert registry.list() == (Entry("poet", (1, 2), 1),)
    checkpoint.verify(registry.resolve("poet@2"))
    assert registry.rollback("poet", 2) == 2


def test_the_chain_tells_who_was_current_when(url, trained):
    registry = Registry(url)
    registry.publish("poet", trained)
    registry.publish("poet", trained)
    registry.rollback("poet")
    fs = fsspec.filesystem(url.split("://")[0])
    chain = [json.loads(fs.cat_file(f"{url}/poet/.current/0000000{position}")) for position in (1, 2, 3)]
    assert [entry["version"] for entry in chain] == [1, 2, 1]
    assert all(entry["at"].startswith("20") for entry in chain)


def test_what_another_process_wrote_since_the_last_look_is_read_and_never_overwritten(url, trained):
    mine = objects.Objects(url)
    write(url, "poet/.current/00000001", b"theirs")
    assert mine.list("poet") == {".current/00000001": 6}
    elsewhere(url).pipe_file(f"{url}/poet/.current/00000002", b"theirs, too")
    assert not mine.create("poet/.current/00000002", b"mine")
    assert mine.read("poet/.current/00000002") == b"theirs, too"


def test_a_publisher_who_is_overtaken_by_another_process_compares_again(url, scored, monkeypatch):
    registry = Registry(url)
    registry.publish("poet", scored(1.0))
    seen: list[float] = []
    created = objects.Objects.create

    def overtaken(self: objects.Objects, key: str, content: bytes) -> bool:
        if key == "poet/.current/00000002":
            entry = json.dumps({"version": 1, "at": "", "token": "of another process"}).encode()
            with suppress(FileExistsError):
                elsewhere(url).pipe_file(f"{url}/{key}", entry, mode="create")
        return created(self, key, content)

    def admit(current: Manifest | None) -> dict:
        assert current is not None
        seen.append(current.scores["test"]["bleu"])
        return {}

    monkeypatch.setattr(objects.Objects, "create", overtaken)
    assert registry.publish("poet", scored(2.0), admit=admit) == 2
    assert seen == [1.0, 1.0]
    assert registry.list() == (Entry("poet", (1, 2), 2),)


def test_a_store_that_overwrites_what_it_should_create_is_refused(url, trained, monkeypatch):
    def create(self: objects.Objects, key: str, content: bytes) -> bool:
        self.write(key, content)
        return True

    monkeypatch.setattr(objects.Objects, "create", create)
    with pytest.raises(RegistryError, match=r"overwrites objects that were to be created"):
        Registry(url).publish("poet", trained)
    assert keys(url) == []


def test_what_fsspec_creates_without_promise_can_only_be_read(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "all" / "models" / "poet" / "1")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "all")
    registry = Registry(f"zip://models::file://{archive}")
    assert registry.list() == (Entry("poet", (1,), 1),)
    checkpoint.verify(registry.resolve("poet"))
    for change in (
        lambda: registry.publish("poet", trained), lambda: registry.rollback("poet", 1),
        lambda: registry.collect("poet", 1),
    ):  # fmt: skip
        with pytest.raises(RegistryError, match="can be read, not changed: exclusive creation"):
            change()


@pytest.mark.parametrize(
    ("url", "said"), [("carrier://pigeon/models", "Protocol not known: carrier"), ("abfs://c/m", "adlfs")]
)
def test_a_url_that_nothing_can_open_is_said_plainly(url, said):
    with pytest.raises(RegistryError, match=said):
        Registry(url)
