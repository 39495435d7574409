from __future__ import annotations

from pathlib import Path

import pytest

from models.registry import Registry, RegistryError
from models.registry.directory import DirectoryStore
from models.registry.layout import current_of, doomed


@pytest.fixture
def root(tmp_path: Path, trained: Path) -> Path:
    """Of a registry with two versions, of which the first is current."""
    registry = Registry(tmp_path / "registry")
    for _ in range(2):
        registry.publish("poet", trained)
    registry.rollback("poet")
    return tmp_path / "registry"


def test_the_newest_is_current_where_none_was_made_so(root):
    assert current_of(DirectoryStore(root), "poet") == 1
    (root / "poet" / "CURRENT").unlink()
    assert current_of(DirectoryStore(root), "poet") == 2


def test_a_version_that_is_replaced_and_removed_between_two_looks_is_no_pointer_to_nowhere(root, monkeypatch):
    look = DirectoryStore.versions

    def replaced_first(self: DirectoryStore, name: str) -> tuple[int, ...]:
        monkeypatch.setattr(DirectoryStore, "versions", look)
        Registry(root).rollback(name, 2)
        assert [removal.what for removal in Registry(root).collect(name, 1)] == ["poet@1"]
        return look(self, name)

    monkeypatch.setattr(DirectoryStore, "versions", replaced_first)
    assert current_of(DirectoryStore(root), "poet") == 2


def test_a_model_without_versions_has_no_current_one(root):
    with pytest.raises(RegistryError, match=r"no model 'painter' in .*registry"):
        current_of(DirectoryStore(root), "painter")


@pytest.mark.parametrize(
    ("current", "keep", "pinned", "gone"),
    [(5, 1, (), [1, 2, 3, 4]), (2, 2, (), [1, 3]), (2, 2, (3,), [1]), (5, 5, (), []), (1, 9, (), [])],
)
def test_what_is_neither_current_nor_new_nor_pinned_is_collected(current, keep, pinned, gone):
    assert doomed((1, 2, 3, 4, 5), current, keep, frozenset(pinned)) == gone
