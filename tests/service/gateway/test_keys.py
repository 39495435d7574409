from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import yaml

from service.gateway import keys
from service.gateway.keys import Keys, hash_of, new_key, read_keys

SHOP, MINE = new_key(), new_key()


def write(path: Path, *entries: dict) -> Path:
    path.write_text(yaml.safe_dump({"keys": list(entries)}))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # a clock may be coarse
    return path


def entry(name: str, key: str, **fields: object) -> dict:
    return {"name": name, "sha256": hash_of(key), **fields}


def test_a_key_is_found_by_its_hash_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.yaml", entry("shop", SHOP, requests="10/minute"), entry("mine", MINE, most_urgent=-3))
    found = Keys(path)
    assert SHOP not in path.read_text()
    assert (found.find(SHOP).name, found.find(SHOP).requests) == ("shop", "10/minute")
    assert (found.find(MINE).name, found.find(MINE).most_urgent) == ("mine", -3)
    for stranger in ("", SHOP[:-1], SHOP.upper(), hash_of(SHOP), "schlüssel"):
        assert found.find(stranger) is None
    assert found.named("mine") == found.find(MINE)
    assert found.named("nobody") is None


def test_two_keys_are_never_the_same() -> None:
    assert len({new_key() for _ in range(100)}) == 100
    assert SHOP.startswith("tk-")
    assert len(SHOP) > 40


def test_a_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOOK_S", -1)
    path = write(tmp_path / "keys.yaml", entry("shop", SHOP))
    found = Keys(path)
    assert found.find(MINE) is None
    write(path, entry("mine", MINE))
    assert found.find(MINE).name == "mine"
    assert found.find(SHOP) is None


def test_a_file_is_not_looked_at_for_every_request(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.yaml", entry("shop", SHOP))
    found = Keys(path)
    write(path)
    assert found.find(SHOP) is not None  # it is not a second yet


@pytest.mark.parametrize("text", ["keys: [", "keys: 5", None])
def test_a_file_that_becomes_unreadable_changes_nothing_but_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    monkeypatch.setattr(keys, "LOOK_S", -1)
    path = write(tmp_path / "keys.yaml", entry("shop", SHOP))
    found = Keys(path)
    path.unlink()
    if text is not None:
        path.write_text(text)
    with caplog.at_level(logging.ERROR):
        assert found.find(SHOP) is not None
        assert found.find(SHOP) is not None
    (record,) = caplog.records  # said once
    assert "those from before go on" in record.getMessage()


HASH = hash_of("x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "valid dictionary"),
        ("keys: [", "while parsing"),
        (f"keys: [{{name: a b, sha256: {HASH}}}]", "keys.0.name is 'a b'"),
        ("keys: [{name: a, sha256: abc}]", "keys.0.sha256 is 'abc'"),
        (f"keys: [{{name: a, sha256: {HASH}, requests: many}}]", "keys.0.requests is 'many'"),
        (
            f"keys: [{{name: a, sha256: {HASH}, tokens: 0/minute}}]",
            "keys.0.tokens is '0/minute': expected quotas of at",
        ),
        (f"keys: [{{name: a, sha256: {HASH}, most_urgent: 11}}]", "keys.0.most_urgent is 11"),
        (f"keys: [{{name: a, sha256: {HASH}, quota: 1}}]", "keys.0.quota is 1"),
        (f"keys: [{{name: a, sha256: {HASH}}}, {{name: b, sha256: {HASH}}}]", f"the sha256 '{HASH}' is there twice"),
    ],
)
def test_what_is_no_file_of_keys_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"keys\.yaml: ") as error:
        read_keys(path)
    assert said in str(error.value)
