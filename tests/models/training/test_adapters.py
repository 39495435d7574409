"""Runs that learn adapters (`lora` in the recipe), from the recipe to what is served."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from models import checkpoint
from models.registry import Registry
from models.training import run
from models.training.loading import read_recipe
from models.training.run import Job
from models.training.sections import RecipeError
from models.training.state import latest_state
from tests import tiny_recipes as tiny
from tests.models.training.small import Killed, die, do_at, log

ADAPTED = {
    "translator": {"rank": 2, "targets": ["all"]},
    "generator": {"rank": 2, "targets": ["query", "value"], "dropout": 0.1},
    "classifier": {"rank": 2, "targets": ["feedforward"]},
}


@pytest.fixture
def registry(write_recipe, recipes, data, tmp_path) -> Registry:
    """With an encoder, a translator and a generator that learned a little."""
    made = Registry(tmp_path / "registry")
    for name in ("encoder", "translator", "generator"):
        job = Job(write_recipe(recipes[name]), data, tmp_path / "first", "nowhere")
        made.publish(name, run.train(job, lambda line: None).checkpoint)
    return made


def tuned(recipes: dict, task: str, name: str = "tuned", **lora: object) -> dict:
    """A recipe that fine-tunes what the registry has for the task."""
    recipe = copy.deepcopy(recipes[task])
    del recipe["model"], recipe["tokenizer"]
    start = "encoder" if task == "classifier" else task
    return {**recipe, "name": name, "start": start, "lora": {**ADAPTED[task], **lora}}


def train(recipe: Path, data: Path, registry: Registry, say=lambda line: None, runs: str = "runs") -> Path:
    folder = data.parent / runs
    return run.train(Job(recipe, data, folder, str(registry.root)), say).checkpoint


@pytest.mark.parametrize("task", ADAPTED)
def test_adapters_are_learned_and_merged_into_a_checkpoint_like_any_other(
    write_recipe, recipes, data, registry, task
) -> None:
    begun = registry.load("encoder" if task == "classifier" else task)
    said: list[str] = []
    made = train(write_recipe(tuned(recipes, task), steps=20, learning_rate=0.02), data, registry, said.append)
    done = checkpoint.load(made)
    before, after = begun.model.state_dict(), done.model.state_dict()
    assert before.keys() == after.keys()
    changed = {name.split(".")[-2] for name in after if not torch.equal(after[name], before[name])}
    assert (
        changed
        == {
            "translator": {"qkv", "query", "key_value", "output", "inner", "outer"},
            "generator": {"qkv"},
            "classifier": {"inner", "outer", "pooler", "classifier"},
        }[task]
    )
    facts = done.manifest.training
    assert facts["learned_parameters"] < facts["parameters"] / 3
    assert facts["parameters"] == sum(p.numel() for p in begun.model.parameters())
    assert f"tuned: {facts['learned_parameters']:,} parameters to learn" in "\n".join(said)
    entries = log(made.parent)
    assert entries[-1]["loss"] < entries[0]["loss"]


def test_states_and_averages_hold_the_adapters_and_the_head_alone(write_recipe, recipes, data, registry) -> None:
    recipe = tuned(recipes, "classifier")
    made = train(write_recipe(recipe, average_decay=0, average_last=2, patience=4), data, registry)
    state = latest_state(made.parent)
    kept = [state / "model.safetensors", *made.parent.glob("weights-*"), *made.parent.glob("best-*")]
    assert len(kept) == 4
    for path in kept:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
        assert {name.split(".")[0] for name in names if ".lora." not in name} == {"pooler", "classifier"}
        assert sum(".lora." in name for name in names) == 4
    moments = load_file(state / "optimizer.safetensors")
    assert all(".lora." in name or name.startswith(("pooler.", "classifier.")) for name in moments)


@pytest.mark.parametrize("merge", [True, False])
def test_killed_and_resumed_equals_uninterrupted(write_recipe, recipes, data, registry, monkeypatch, merge) -> None:
    recipe = write_recipe(tuned(recipes, "generator", merge=merge), save_every=0)
    whole = train(recipe, data, registry, runs="whole")
    with monkeypatch.context() as patch:
        do_at(patch, 9, die)
        with pytest.raises(Killed):
            train(recipe, data, registry, runs="broken")
    said: list[str] = []
    resumed = train(recipe, data, registry, said.append, "broken")
    assert "tuned: going on after step 8" in said
    name = "model.safetensors" if merge else "adapter.safetensors"
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("task", ADAPTED)
def test_kept_beside_its_base_it_answers_as_the_merged_one(write_recipe, recipes, data, registry, task) -> None:
    merged, beside = (
        train(write_recipe(tuned(recipes, task, name, merge=merge), learning_rate=0.02), data, registry)
        for name, merge in (("merged", True), ("beside", False))
    )
    base = "encoder" if task == "classifier" else task
    manifest = checkpoint.read_manifest(beside)
    assert manifest.adapter.base == f"{base}@1"
    assert [(each.relation, each.reference) for each in manifest.lineage] == [("adapts", f"{base}@1")]
    assert manifest.adapter.base_sha256 == registry.load(base).manifest.weights_sha256
    assert manifest.training["parameters"] == checkpoint.read_manifest(merged).training["parameters"]
    assert (beside / "adapter.safetensors").stat().st_size < (merged / "model.safetensors").stat().st_size
    registry.publish("beside", beside)
    mine, theirs = registry.load("beside@1").model.state_dict(), checkpoint.load(merged).model.state_dict()
    begun = registry.load(base).model.state_dict()
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0.01, atol=1e-3)  # the merged one is in bfloat16
    assert any(not torch.equal(mine[name], begun[name]) for name in mine)


def test_adapters_kept_beside_can_be_tuned_further(write_recipe, recipes, data, registry) -> None:
    registry.publish("poems", train(write_recipe(tuned(recipes, "generator", "poems", merge=False)), data, registry))
    recipe = {**tuned(recipes, "generator", "haiku", merge=False), "start": "poems@1"}
    registry.publish("haiku", train(write_recipe(recipe), data, registry))
    assert registry.load("haiku").manifest.adapter.base == "poems@1"
    assert len(registry.directories("haiku")) == 3


def test_only_what_is_published_can_have_adapters_beside_it(write_recipe, recipes, data, registry) -> None:
    unpublished = {**tuned(recipes, "generator", merge=False), "start": str(data.parent / "first/generator/checkpoint")}
    with pytest.raises(RecipeError, match=r"lora.merge is false, and start is '.*', which is not published"):
        train(write_recipe(unpublished), data, registry)
    train(write_recipe({**unpublished, "lora": ADAPTED["generator"]}), data, registry)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"start": "", "model": {"architecture": "bert"}, "tokenizer": {"kind": "wordpiece", "vocab_size": 99}},
            "give",
        ),
        ({"training": {**tiny.TRAINING, "optimizer": "muon"}}, "what lora learns is moved by adamw"),
        ({"frozen_encoder": True}, "lora adapts what a run starts from: give start, and no frozen_encoder"),
        ({"lora": {"rank": 0}}, "rank is 0, expected at least 1"),
        ({"lora": {"targets": ["head"]}}, r"targets is \['head'\], expected some of query, key, value, output"),
        ({"lora": {"width": 3}}, "recipe.lora has no field 'width'; known are rank, alpha, targets, dropout, merge"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(recipes, changes, complaint) -> None:
    with pytest.raises(RecipeError, match=complaint):
        read_recipe({**tuned(recipes, "classifier"), **changes})


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_adapters_learn_in_every_number_format(write_recipe, recipes, data, registry, precision) -> None:
    recipe = tuned(recipes, "translator")
    made = train(write_recipe(recipe, steps=20, learning_rate=0.02, precision=precision), data, registry)
    entries = log(made.parent)
    assert entries[-1]["loss"] < entries[0]["loss"]
