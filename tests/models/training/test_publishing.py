import pytest

from models import checkpoint
from models.registry import Registry
from models.training.publishing import publish, set_scores
from models.training.run import train


@pytest.fixture
def trained(write_recipe, recipes, data, tmp_path):
    return train(write_recipe(recipes["generator"], steps=1), data, tmp_path / "runs", say=lambda line: None).checkpoint


def test_scores_are_written_before_publishing_and_stay(trained, tmp_path):
    assert publish(trained, tmp_path / "registry", {"held out": {"bits_per_byte": 2.5}}) == "generator@1"
    assert publish(trained, tmp_path / "registry", {"more": 1}) == "generator@2"
    registry = Registry(tmp_path / "registry")
    assert checkpoint.verify(registry.resolve("generator@1")).scores == {"held out": {"bits_per_byte": 2.5}}
    assert checkpoint.verify(registry.resolve("generator@2")).scores == {"held out": {"bits_per_byte": 2.5}, "more": 1}


def test_a_published_version_takes_no_scores(trained, tmp_path):
    publish(trained, tmp_path / "registry")
    with pytest.raises(ValueError, match="published as generator@1, which never changes"):
        set_scores(Registry(tmp_path / "registry").resolve("generator"), {"bleu": 99})
