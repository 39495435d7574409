from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from models import checkpoint
from models.checkpoint import CheckpointError
from models.registry import Registry, RegistryError
from models.training.evaluation.scores import Answered, Measured, label_scores
from models.training.gate import GateError
from models.training.publishing import publish
from tests import checkpoints

BLEU = {"test fr-en": {"bleu": 30.0, "chrf": 50.0, "signature": "case:mixed", "sentences": 100}}


def bleu(score: float, **changes: object) -> dict:
    return {"test fr-en": {**BLEU["test fr-en"], "bleu": score, **changes}}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    checkpoints.generator(tmp_path / "trained")
    manifest = checkpoint.read_manifest(tmp_path / "trained")
    checkpoint.write_manifest(tmp_path / "trained", dataclasses.replace(manifest, version=0))
    return tmp_path / "trained"


@pytest.fixture(params=["directory", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    return Registry(tmp_path / "registry" if request.param == "directory" else f"memory:/{tmp_path}/registry")


def test_scores_are_written_before_publishing_and_stay(trained, registry):
    assert publish(trained, registry, {"held out": {"bits_per_byte": 2.5}}).version == 1
    assert publish(trained, registry, {"more": {"accuracy": 1.0}}).version == 2  # the score of before stays in it
    assert checkpoint.verify(registry.resolve("generator@1")).scores == {"held out": {"bits_per_byte": 2.5}}
    both = {"held out": {"bits_per_byte": 2.5}, "more": {"accuracy": 1.0}}
    assert checkpoint.verify(registry.resolve("generator@2")).scores == both


def test_a_published_version_takes_no_scores(trained, registry):
    publish(trained, registry)
    directory = registry.resolve("generator")
    with pytest.raises(ValueError, match="published as generator@1, which never changes"):
        publish(directory, registry, {"bleu": 99})
    with pytest.raises(ValueError, match="published as generator@1, which never changes"):
        publish(directory, registry)


def test_what_is_published_has_a_card_with_its_scores(trained, registry):
    publish(trained, registry, BLEU)
    directory = registry.resolve("generator")
    assert "README.md" in checkpoint.verify(directory).files
    assert "| test fr-en | 30 | 50 | 100 sentences |" in (directory / "README.md").read_text()


def test_worse_by_more_than_the_tolerance_is_refused(trained, registry):
    publish(trained, registry, BLEU)
    with pytest.raises(
        GateError,
        match=r"worse than generator@1, by more than chance and 1.00%: bleu .* is 29.6, was 30, limit 29.7",
    ):
        publish(trained, registry, bleu(29.6))
    assert [entry.versions for entry in registry.list()] == [(1,)]
    second = publish(trained, registry, bleu(29.8))
    assert second.publication["gate"]["against"] == "generator@1"
    assert second.publication["forced"] is False
    assert publish(trained, registry, bleu(29.6)).version == 3  # what counts is the current version, not the best
    assert publish(trained, registry, bleu(20.0), tolerance=0.5).version == 4


def test_force_publishes_what_is_worse_and_the_manifest_says_so(trained, registry):
    publish(trained, registry, BLEU, force=True)
    forced = publish(trained, registry, bleu(1.0), force=True, note="the old one cannot be served any more")
    assert registry.current("generator") == forced.version == 2
    publication = registry.manifest("generator", 2).publication
    assert publication["forced"] is True
    assert publication["note"] == "the old one cannot be served any more"
    assert publication["gate"]["compared"] == [
        {
            "test": "test fr-en", "measure": "bleu", "old": 30.0, "new": 1.0, "old_interval": None,
            "new_interval": None, "method": "tolerance alone", "p": None, "limit": 29.7, "refused": True,
        }
    ]  # fmt: skip
    assert "forced" not in registry.manifest("generator", 1).publication


def test_the_card_of_a_version_says_what_it_was_compared_with_and_whether_it_was_forced(trained, registry):
    publish(trained, registry, BLEU)
    publish(trained, registry, bleu(31.0), note="better")
    publish(trained, registry, bleu(1.0), force=True)
    cards = [(registry.resolve(f"generator@{version}") / "README.md").read_text() for version in (1, 2, 3)]
    for version, card in enumerate(cards, 1):
        checkpoint.verify(registry.resolve(f"generator@{version}"))
        assert f"Published as generator@{version} on 20" in card
    assert ["--force" in card for card in cards] == [False, False, True]
    assert "The gate let it in, in the place of generator@1." in cards[1]
    assert "better" in cards[1]
    assert "**`--force` was used**: the gate refused it in the place of generator@2." in cards[2]
    assert "| test | measure | generator@2 | this one | method | p | limit | refused |" in cards[2]
    assert "| test fr-en | bleu | 31 | 1 | tolerance alone |  | 30.69 | yes |" in cards[2]
    assert "## Publication" not in (trained / "README.md").read_text()


def test_the_readme_says_which_shipped_versions_were_forced():
    root = Path(checkpoint.__file__).resolve().parent.parent
    readme = (root / "README.md").read_text()
    shipped = Registry(root / "models" / "checkpoints")
    entries = shipped.list()
    assert entries
    for entry in entries:
        if shipped.manifest(entry.name, entry.current).publication.get("forced"):
            assert re.search(rf"{entry.name}@{entry.current}[^.]*`--force`", readme), entry


def test_after_a_rollback_the_gate_compares_with_what_is_current(trained, registry):
    publish(trained, registry, bleu(20.0))
    publish(trained, registry, bleu(30.0))
    registry.rollback("generator")
    assert publish(trained, registry, bleu(21.0)).publication["gate"]["against"] == "generator@1"


def test_a_changed_test_file_does_not_empty_the_gate(trained, registry):
    """Scores that cannot be compared are no scores that passed."""
    publish(trained, registry, bleu(30.0, sha256="a"))
    for changed in (bleu(1.0, sentences=101), bleu(1.0, sentences=99), bleu(1.0, sha256="b"), {"other": {"bleu": 1.0}}):
        checkpoint.write_manifest(trained, dataclasses.replace(checkpoint.read_manifest(trained), scores={}))
        with pytest.raises(GateError, match="generator cannot be compared with generator@1"):
            publish(trained, registry, changed)
    assert [entry.versions for entry in registry.list()] == [(1,)]
    forced = publish(trained, registry, bleu(1.0, sentences=101), force=True).publication
    assert forced["forced"] is True
    assert "test fr-en was measured otherwise (sentences, sha256)" in str(forced["gate"]["obstacles"])


def answered(right: int, texts: int = 100) -> dict[str, Measured]:
    answers = [Answered("a" if n < right else "b", 0.9) for n in range(texts)]
    return {"reviews": label_scores(answers, ["a"] * texts, ["a", "b"]).of_file("0" * 64)}


def test_what_is_scored_here_is_compared_with_the_current_version_on_the_same_texts(trained, registry):
    asked = []

    def score_current(current):
        asked.append(current.version)
        return answered(90)

    first = publish(trained, registry, measured=answered(80), score_current=score_current)
    assert "gate" not in first.publication
    with pytest.raises(GateError, match=r"accuracy of reviews is 0\.7, was 0\.9, limit 0\.891"):
        publish(trained, registry, measured=answered(70), score_current=score_current)
    second = publish(trained, registry, measured=answered(95), score_current=score_current)
    assert asked == [1, 1]  # once each time, though the registry asks before and after it has copied the files
    [found] = second.publication["gate"]["compared"]
    assert (found["old"], found["new"], found["method"]) == (0.9, 0.95, "McNemar")
    assert second.scores["reviews"]["sha256"] == "0" * 64
    card = (registry.resolve("generator@2") / "README.md").read_text()
    assert "| reviews | accuracy | 0.9 [0.8256, 0.9448] | 0.95 [0.8882, 0.9785] | McNemar | 1 | 0.891 | no |" in card


def test_a_score_that_a_checkpoint_still_has_from_before_is_none_of_this_publication(trained, registry):
    publish(trained, registry, measured={**answered(90), "more": answered(90)["reviews"]})
    assert "more" in checkpoint.read_manifest(trained).scores
    with pytest.raises(GateError, match="it was not scored on more"):
        publish(trained, registry, measured=answered(90), score_current=lambda current: answered(90))


def test_a_current_version_that_cannot_be_scored_can_be_forced_past(trained, registry):
    def broken(current):
        raise CheckpointError("model.safetensors: SHA-256 is another")

    publish(trained, registry, measured=answered(80), score_current=broken)
    with pytest.raises(GateError, match=r"generator@1 cannot be scored: model\.safetensors: SHA-256 is another"):
        publish(trained, registry, measured=answered(80), score_current=broken)
    assert publish(trained, registry, measured=answered(80), score_current=broken, force=True).publication["forced"]


def test_what_is_refused_for_other_reasons_is_not_published(trained, registry):
    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(ValueError, match=r"tolerance is 1\.5, expected a share from 0 to 1"):
        publish(trained, registry, BLEU, tolerance=1.5)
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before
    checkpoint.write_manifest(trained, dataclasses.replace(checkpoint.read_manifest(trained), name="No Name"))
    with pytest.raises(RegistryError, match="no model name"):
        publish(trained, registry)
    assert registry.names() == ()
