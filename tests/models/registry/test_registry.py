"""What every registry promises, on a directory, in memory and, where s3fs and moto are installed, on S3."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from pathlib import Path

import fsspec
import pytest

from models import checkpoint
from models.checkpoint import CheckpointError, Manifest
from models.registry import Entry, Registry, RegistryError


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_versions_count_from_one_and_the_newest_is_current(registry, trained):
    assert [registry.publish("poet", trained) for _ in range(3)] == [1, 2, 3]
    assert registry.list() == (Entry("poet", (1, 2, 3), 3),)
    assert checkpoint.verify(registry.resolve("poet")).version == 3


def test_a_published_manifest_knows_its_name_and_version(registry, trained):
    registry.publish("poet", trained)
    registry.publish("poet", trained)
    manifest = checkpoint.load(registry.resolve("poet@2")).manifest
    assert (manifest.name, manifest.version) == ("poet", 2)
    assert registry.manifest("poet", 2) == manifest
    assert checkpoint.read_manifest(trained).version == 0


def test_a_function_may_write_the_checkpoint(registry, trained):
    def write(directory: Path) -> None:
        loaded = checkpoint.load(trained)
        checkpoint.save(directory, model=loaded.model, tokenizer=loaded.tokenizer, manifest=loaded.manifest)

    assert registry.publish("poet", write) == 1
    checkpoint.verify(registry.resolve("poet"))


def test_a_card_and_curves_come_along(registry, trained):
    def write(directory: Path) -> None:
        for name, content in contents(trained).items():
            (directory / name).write_bytes(content)
        (directory / "README.md").write_text("A card.")
        (directory / "curves.png").write_bytes(b"png")
        (directory / "notes.txt").write_text("Not of the checkpoint.")
        checkpoint.write_manifest(directory, checkpoint.read_manifest(trained))

    registry.publish("poet", write)
    published = contents(registry.resolve("poet"))
    assert published["README.md"] == b"A card."
    assert published["curves.png"] == b"png"
    registry.publish("again", registry.resolve("poet"))
    assert contents(registry.resolve("again")).keys() == {*contents(trained), "README.md", "curves.png"}


def test_publishing_and_rolling_back_leave_versions_as_they_were(registry, trained, tmp_path, monkeypatch):
    registry.publish("poet", trained)
    before = contents(registry.resolve("poet@1"))
    registry.publish("poet", trained)
    registry.rollback("poet")
    registry.publish("poet", trained)
    registry.collect("poet", 5)
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "another"))  # else a copy from before would be looked at
    assert contents(Registry(registry.root).resolve("poet@1")) == before


def test_a_path_to_a_checkpoint_resolves_to_itself(registry, trained):
    assert registry.resolve(str(trained)) == trained


def test_rolling_back_goes_one_version_back_or_to_any(registry, trained):
    for _ in range(3):
        registry.publish("poet", trained)
    assert registry.rollback("poet") == 2
    assert registry.locate("poet") == ("poet", 2)
    assert checkpoint.verify(registry.resolve("poet")).version == 2
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
    for ask in (registry.rollback, registry.current, lambda name: registry.collect(name, 1)):
        with pytest.raises(RegistryError, match="no model 'painter'"):
            ask("painter")


@pytest.mark.parametrize("name", ["", "../poet", "Poet", "a/b", ".hidden", "x" * 64])
def test_a_name_that_could_leave_the_registry_is_refused(registry, trained, name):
    with pytest.raises(RegistryError, match="no model name"):
        registry.publish(name, trained)
    for ask in (
        lambda: registry.resolve(f"{name}@1"),
        lambda: registry.collect(name, 1),
        lambda: registry.current(name),
    ):
        with pytest.raises(RegistryError, match="no model"):
            ask()


def test_a_damaged_checkpoint_is_not_published(registry, trained):
    def write(directory: Path) -> None:
        for name, content in contents(trained).items():
            (directory / name).write_bytes(content)
        (directory / "config.json").write_text("{}")

    with pytest.raises(CheckpointError, match=r"config.json: SHA-256"):
        registry.publish("poet", write)
    assert registry.list() == ()
    assert registry.publish("poet", trained) == 1


def test_who_admits_sees_the_current_version_and_what_it_says_is_kept(registry, scored):
    seen: list[float | None] = []

    def admit(current: Manifest | None) -> dict:
        seen.append(current and current.scores["test"]["bleu"])
        return {"note": f"after {seen[-1]}"}

    registry.publish("poet", scored(10.0), admit=admit)
    registry.publish("poet", scored(20.0), admit=admit)
    registry.rollback("poet", 1)
    registry.publish("poet", scored(30.0), admit=admit)
    assert seen == [None, 10.0, 10.0]
    assert [registry.manifest("poet", v).publication["note"] for v in (1, 2, 3)] == [
        "after None",
        "after 10.0",
        "after 10.0",
    ]


def test_a_file_may_be_written_anew_for_what_the_manifest_says_at_last(registry, trained):
    def seal(directory: Path, manifest: Manifest) -> Manifest:
        card = directory / "README.md"
        card.write_text(f"{manifest.name}@{manifest.version}: {manifest.publication['note']}")
        return dataclasses.replace(manifest, files={**manifest.files, "README.md": checkpoint.facts_of(card)})

    for note in ("first", "second"):
        registry.publish("poet", trained, admit=lambda current, note=note: {"note": note}, seal=seal)
    for version, text in ((1, "poet@1: first"), (2, "poet@2: second")):
        directory = registry.resolve(f"poet@{version}")
        checkpoint.verify(directory)
        assert (directory / "README.md").read_text() == text
    assert not (trained / "README.md").exists()


def test_what_is_refused_leaves_nothing(registry, scored, trained, monkeypatch):
    class Refused(Exception):
        pass

    def refuse(current: Manifest | None) -> dict:
        raise Refused

    with pytest.raises(Refused):
        registry.publish("poet", scored(1.0), admit=refuse)
    assert registry.list() == ()
    first = registry.publish("poet", trained)
    for source in (trained, scored(1.0)):
        with pytest.raises(Refused):
            registry.publish("poet", source, admit=refuse)
    assert registry.list() == (Entry("poet", (first,), first),)
    for store in ("directory", "object_store"):  # whatever was left would be old enough to be collected
        monkeypatch.setattr(f"models.registry.{store}.LEFTOVER_S", -60.0)
    assert registry.collect("poet", 1) == ()


def overwrite(registry: Registry, key: str, content: bytes) -> None:
    fs, root = fsspec.core.url_to_fs(str(registry.root))
    fs.pipe_file(f"{root}/{key}", content)


def test_a_corrupt_manifest_stops_nothing_but_its_own_version(registry, trained):
    for name in ("painter", "poet", "poet", "poet", "singer"):
        registry.publish(name, trained)
    overwrite(registry, "poet/2/manifest.json", b'{"name": "poet", ')
    others = Entry("painter", (1,), 1), Entry("singer", (1,), 1)
    assert registry.list() == (others[0], Entry("poet", (1, 2, 3), 3), others[1])
    with pytest.raises(CheckpointError, match="not JSON"):
        registry.manifest("poet", 2)
    for reference in ("painter", "poet", "poet@1", "singer@1"):
        checkpoint.verify(registry.resolve(reference))
    for version in (None, 2):  # it would be served next
        with pytest.raises(CheckpointError, match="not JSON"):
            registry.rollback("poet", version)
    assert registry.rollback("poet", 1) == 1
    assert registry.publish("poet", trained) == 4
    assert [removal.what for removal in registry.collect("poet", 1)] == ["poet@1", "poet@2", "poet@3"]


def test_one_whose_current_version_cannot_be_told_is_listed_with_the_reason(registry, trained):
    for name in ("painter", "poet"):
        registry.publish(name, trained)
    overwrite(registry, "painter/CURRENT" if isinstance(registry.root, Path) else "painter/.current/00000001", b"seven")
    painter, poet = registry.list()
    assert (painter.versions, painter.current, poet) == ((1,), 0, Entry("poet", (1,), 1))
    assert re.search(r"painter/.*(CURRENT|00000001) says b?'seven', expected a version", painter.problem)
    checkpoint.verify(registry.resolve("poet"))
    checkpoint.verify(registry.resolve("painter@1"))
    with pytest.raises(RegistryError, match=r"says b?'seven', expected a version"):
        registry.resolve("painter")


def test_publishers_at_once_each_get_a_version_of_their_own(registry, trained):
    versions: list[int] = []
    seen: list[int] = []
    start = threading.Barrier(6)

    def publish() -> None:
        start.wait()
        versions.append(Registry(registry.root).publish("poet", trained))
        seen.append(checkpoint.verify(Registry(registry.root).resolve("poet")).version)

    _in_threads([publish] * 6)
    assert sorted(versions) == list(range(1, 7))
    assert set(seen) <= set(versions)
    (entry,) = registry.list()
    assert entry.versions == tuple(range(1, 7))
    assert entry.current in seen
    for version in versions:
        directory = registry.resolve(f"poet@{version}")
        assert json.loads((directory / "manifest.json").read_text())["version"] == version
        checkpoint.verify(directory)


def test_no_publisher_at_once_makes_the_current_version_worse(registry, scored):
    """Compare and set: what was compared is what is replaced."""

    class Worse(Exception):
        pass

    start = threading.Barrier(6)
    current: list[float] = []
    refused: list[float] = []

    def publish(score: float) -> None:
        def admit(now: Manifest | None) -> dict:
            if now is not None and score < now.scores["test"]["bleu"]:
                raise Worse
            return {"after": now and now.scores["test"]["bleu"]}

        start.wait()
        try:
            version = Registry(registry.root).publish("poet", scored(score), admit=admit)
            current.append(registry.manifest("poet", version).scores["test"]["bleu"])
        except Worse:
            refused.append(score)

    scores = [3.0, 1.0, 6.0, 2.0, 5.0, 4.0]
    _in_threads([lambda score=score: publish(score) for score in scores])
    assert sorted(current + refused) == sorted(scores)
    (entry,) = registry.list()
    assert registry.manifest("poet", entry.current).scores["test"]["bleu"] == 6.0
    assert sorted(registry.manifest("poet", v).scores["test"]["bleu"] for v in entry.versions) == sorted(current)
    followed = [registry.manifest("poet", v).scores["test"]["bleu"] for v in in_turn(registry, entry)]
    assert followed == sorted(current)


def in_turn(registry: Registry, entry: Entry) -> list[int]:
    """The versions in the order in which they became current."""
    if isinstance(registry.root, Path):
        return list(entry.versions)  # a number is given under the lock that makes it current
    fs, root = fsspec.core.url_to_fs(registry.root)
    fs.invalidate_cache()
    return [json.loads(fs.cat_file(path))["version"] for path in sorted(fs.find(f"{root}/{entry.name}/.current"))]


def test_collecting_keeps_the_current_version_and_the_newest(registry, trained):
    for _ in range(6):
        registry.publish("poet", trained)
    registry.rollback("poet", 2)
    would = registry.collect("poet", 2, dry_run=True)
    assert [removal.what for removal in would] == ["poet@1", "poet@3", "poet@4"]
    assert all(removal.size > 1000 for removal in would)
    assert registry.list() == (Entry("poet", (1, 2, 3, 4, 5, 6), 2),)
    assert registry.collect("poet", 2) == would
    assert registry.list() == (Entry("poet", (2, 5, 6), 2),)
    assert registry.collect("poet", 2) == ()
    checkpoint.verify(registry.resolve("poet@5"))
    with pytest.raises(RegistryError, match="no version '3' of 'poet': there are 2, 5, 6"):
        registry.resolve("poet@3")
    assert registry.publish("poet", trained) == 7
    with pytest.raises(RegistryError, match="keep is 0, expected at least 1"):
        registry.collect("poet", 0)


def test_versions_are_published_collected_and_read_at_once(registry, trained):
    registry.publish("poet", trained)
    stop = threading.Event()
    read: list[int] = []

    def publish() -> None:
        for _ in range(5):
            registry.publish("poet", trained)

    def read_on() -> None:
        while not stop.is_set():
            version = registry.current("poet")
            assert registry.manifest("poet", version).version == version
            read.append(version)

    def collect() -> None:
        while not stop.is_set():
            registry.collect("poet", 4)

    def publish_all() -> None:
        try:
            _in_threads([publish, publish])
        finally:
            stop.set()

    _in_threads([publish_all, read_on, collect])
    registry.collect("poet", 4)
    (entry,) = registry.list()
    assert len(read) > 1
    assert entry.versions[-1] == 11
    assert len(entry.versions) in (4, 5)
    for version in entry.versions:
        checkpoint.verify(registry.resolve(f"poet@{version}"))


def _in_threads(calls: list) -> None:
    """Run them at once; what any of them raises is raised here."""
    failures: list[BaseException] = []

    def run(call) -> None:
        try:
            call()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
