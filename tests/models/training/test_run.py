import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.lineage import Ancestor
from models.llama import Llama
from models.recurrent import Recurrent
from models.registry import Registry
from models.rotary import Rotation
from models.training import run, trainer
from models.training.data.readers import DataError
from models.training.run import Job, TrainingResult
from models.training.sections import RecipeError
from models.training.state import ResumeError, latest_state
from tests.models.training.small import Killed, die, do_at, log


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


def quiet(line: str) -> None:
    pass


def train(recipe: Path, data: Path, runs: Path, *, resume: bool = True, say=quiet) -> TrainingResult:
    return run.train(Job(recipe, data, runs, "nowhere", resume=resume), say)


@pytest.mark.parametrize("name", ["translator", "classifier", "generator", "encoder"])
def test_a_run_ends_in_a_sound_checkpoint_and_learns(write_recipe, recipes, data, tmp_path, name):
    result = train(write_recipe(recipes[name]), data, tmp_path / "runs")
    loaded = checkpoint.load(result.checkpoint)
    assert loaded.manifest.name == name
    assert loaded.manifest.training["steps"] == 12
    assert loaded.manifest.training["recipe"]["training"]["batch_tokens"] == 200
    entries = log(tmp_path / "runs" / name)
    assert [entry["step"] for entry in entries] == [6, 12]
    assert entries[-1]["loss"] == pytest.approx(result.validation.loss)
    assert entries[-1]["loss"] < entries[0]["loss"]


def test_the_recipe_of_a_generator_trains_a_llama(write_recipe, recipes, data, tmp_path):
    rotation = {"scaling": "llama3", "factor": 2, "trained_context": 16}
    model = {**recipes["generator"]["model"], "architecture": "llama", "kv_heads": 2, "rotation": rotation}
    result = train(write_recipe({**recipes["generator"], "model": model}), data, tmp_path / "runs")
    loaded = checkpoint.load(result.checkpoint)
    assert isinstance(loaded.model, Llama)
    assert loaded.config.rotation == Rotation(**rotation)
    entries = log(tmp_path / "runs/generator")
    assert entries[-1]["loss"] < entries[0]["loss"]


@pytest.mark.parametrize(
    "fields",
    [{}, {"cell": "lstm", "attention": "general", "decoder_layers": 2}, {"attention": "none", "bidirectional": False}],
    ids=["additive", "general", "fixed"],
)
def test_the_recipe_of_a_translator_trains_a_recurrent_one(write_recipe, recipes, data, tmp_path, fields):
    model = {"architecture": "recurrent", "width": 32, **fields}
    result = train(write_recipe({**recipes["translator"], "model": model}), data, tmp_path / "runs")
    loaded = checkpoint.load(result.checkpoint)
    assert isinstance(loaded.model, Recurrent)
    assert loaded.config.attention == fields.get("attention", "additive")
    entries = log(tmp_path / "runs/translator")
    assert entries[-1]["loss"] < entries[0]["loss"]


def test_validations_show_answers_and_a_score_that_the_manifest_has_too(write_recipe, recipes, data, tmp_path):
    measures = {"translator": "bleu", "classifier": "accuracy", "generator": "bits_per_byte"}
    for name, measure in measures.items():
        said: list[str] = []
        made = train(write_recipe(recipes[name], samples=2), data, tmp_path / "runs", say=said.append).checkpoint
        entries, samples = (log(made.parent, file) for file in ("metrics.jsonl", "samples.jsonl"))
        assert checkpoint.read_manifest(made).training[f"validation_{measure}"] == round(entries[-1][measure], 4)
        assert [len(entry["samples"]) for entry in samples] == [2, 2]
        for one, other in zip(samples[0]["samples"], samples[1]["samples"], strict=True):
            assert (one["source"], one["expected"]) == (other["source"], other["expected"])
        assert any(f"    expected: {samples[0]['samples'][0]['expected']}" in line for line in said)


def test_a_translator_may_be_kept_by_its_bleu(write_recipe, recipes, data, tmp_path):
    recipe = write_recipe(recipes["translator"], patience=3, patience_by="score", steps=60, learning_rate=0.01)
    made = train(recipe, data, tmp_path / "runs")
    entries = log(made.checkpoint.parent)
    assert made.validation.score == max(entry["bleu"] for entry in entries)


def test_what_is_only_reported_may_change_between_sittings(write_recipe, recipes, data, tmp_path):
    train(write_recipe(recipes["translator"]), data, tmp_path / "runs")
    more = write_recipe(recipes["translator"], steps=14, samples=0, score_texts=0)
    said: list[str] = []
    assert train(more, data, tmp_path / "runs", say=said.append).validation.score is None
    assert "translator: going on after step 12" in said
    with pytest.raises(ResumeError, match="saved under another recipe"):
        train(write_recipe(recipes["translator"], patience_by="score"), data, tmp_path / "runs")


def test_a_long_enough_run_learns_its_task(write_recipe, recipes, data, tmp_path):
    recipe = write_recipe(recipes["classifier"], steps=60, learning_rate=0.01)
    result = train(recipe, data, tmp_path / "runs")
    assert result.validation.accuracy == 1


def test_a_classifier_learns_the_labels_that_its_data_has(write_recipe, recipes, data, tmp_path):
    corpus = {"file": "labelled.tsv", "columns": ["label", "text"]}
    recipe = write_recipe({**recipes["classifier"], "labels": [], "corpora": [corpus], "tests": []})
    result = train(recipe, data, tmp_path / "runs")
    assert checkpoint.read_manifest(result.checkpoint).labels == ("0", "1")
    assert checkpoint.load(result.checkpoint).config.labels == 2


@pytest.mark.parametrize("name", ["translator", "varied", "classifier", "generator", "encoder"])
def test_killed_and_resumed_equals_uninterrupted(write_recipe, recipes, data, tmp_path, monkeypatch, name):
    shares = dict.fromkeys(("capitals", "slips", "copies", "joined", "split_tokens"), 0.2)
    varied = {**recipes["translator"], "name": "varied", "variation": shares}
    recipe = write_recipe({**recipes, "varied": varied}[name], save_every=0)
    whole = train(recipe, data, tmp_path / "whole")

    # The library breaks ties at random when it trains a WordPiece vocabulary: both runs start from the same one.
    (tmp_path / "broken" / name).mkdir(parents=True)
    shutil.copy(tmp_path / "whole" / name / "tokenizer.json", tmp_path / "broken" / name)

    with monkeypatch.context() as patch:
        do_at(patch, 8, die)
        with pytest.raises(Killed):
            train(recipe, data, tmp_path / "broken")
    lines: list[str] = []
    resumed = train(recipe, data, tmp_path / "broken", say=lines.append)
    assert any("going on after step 7" in line for line in lines)
    assert weights(resumed.checkpoint) == weights(whole.checkpoint)
    assert resumed.validation == whole.validation


def test_a_polite_stop_saves_the_step_it_was_at(write_recipe, recipes, data, tmp_path, monkeypatch):
    recipe = write_recipe(recipes["generator"], save_every=10_000)
    whole = train(recipe, data, tmp_path / "whole")
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        do_at(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(trainer.Interrupted, match="stopped after step 5 of 12; the state is saved"):
            train(recipe, data, tmp_path / "broken")
    assert signal.getsignal(signal.SIGTERM) == before
    said: list[str] = []
    resumed = train(recipe, data, tmp_path / "broken", say=said.append)
    assert "generator: going on after step 5" in said
    assert weights(resumed.checkpoint) == weights(whole.checkpoint)


def test_a_process_killed_in_the_middle_leaves_a_state_to_go_on_from(write_recipe, recipes, data, tmp_path):
    recipe = write_recipe(recipes["generator"], save_every=0, steps=100_000)
    code = (
        "import sys; from pathlib import Path; from models.training.run import Job, train;"
        "train(Job(*map(Path, sys.argv[1:4]), 'nowhere'), lambda line: None)"
    )
    arguments = [sys.executable, "-c", code, str(recipe), str(data), str(tmp_path / "runs")]
    root = Path(run.__file__).parents[2]
    process = subprocess.Popen(arguments, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while latest_state(tmp_path / "runs" / "generator") is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    state = latest_state(tmp_path / "runs" / "generator")
    assert state is not None
    step = json.loads((state / "progress.json").read_text())["step"]
    lines: list[str] = []
    train(write_recipe(recipes["generator"], steps=step + 1), data, tmp_path / "runs", say=lines.append)
    assert any(f"going on after step {step:,}" in line for line in lines)


def test_a_classifier_learns_from_a_pre_trained_encoder_whole_or_its_head_alone(write_recipe, recipes, data, tmp_path):
    train(write_recipe(recipes["encoder"]), data, tmp_path / "runs")
    tuned = {**recipes["classifier"], "start": "encoder"}
    del tuned["model"], tuned["tokenizer"]
    begun = checkpoint.load(tmp_path / "runs" / "encoder" / "checkpoint")
    changed: dict[str, set[str]] = {}
    for name, frozen in (("whole", False), ("head", True)):
        recipe = write_recipe({**tuned, "name": name, "frozen_encoder": frozen})
        done = checkpoint.load(train(recipe, data, tmp_path / "runs").checkpoint)
        assert done.tokenizer.encode("정말 재미있는 영화") == begun.tokenizer.encode("정말 재미있는 영화")
        before, after = begun.model.state_dict(), done.model.state_dict()
        changed[name] = {key.split(".")[0] for key in after if not torch.equal(after[key], before[key])}
    assert changed["head"] == {"pooler", "classifier"}
    assert {"embedding", "layers", *changed["head"]} <= changed["whole"]


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "Trial", "a b", "", "x" * 64])
def test_a_run_whose_name_could_lead_out_of_its_folder_is_refused_before_anything_is_written(
    write_recipe, recipes, data, tmp_path, name
):
    job = Job(write_recipe(recipes["encoder"]), data, tmp_path / "runs", "nowhere", changes=(f"name={name}",))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RecipeError, match=rf"name: '{name}' is no model name: expected at most 63 lower-case letters"):
        run.train(job, quiet)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_manifest_says_what_its_run_started_from_down_to_the_oldest(write_recipe, recipes, data, tmp_path):
    runs, registry = tmp_path / "runs", Registry(tmp_path / "registry")
    terms = {"licence": "CC-BY-SA-4.0", "data": "Reviews", "attribution": "Anna, CC BY-SA"}
    oldest = train(write_recipe({**recipes["encoder"], **terms}, steps=1), data, runs).checkpoint
    tuned = {key: value for key, value in recipes["classifier"].items() if key not in ("model", "tokenizer")}

    def tune(name: str, start: str, **fields: str) -> Path:
        recipe = write_recipe({**tuned, "name": name, "start": start, **fields}, steps=1)
        return run.train(Job(recipe, data, runs, str(registry.root)), quiet).checkpoint

    middle = tune("middle", "encoder")
    assert registry.publish("published", middle) == 1
    newest = checkpoint.read_manifest(tune("newest", "published@1", licence="MIT", data="Labels"))
    assert (newest.licence, newest.data) == ("MIT AND CC-BY-SA-4.0", "Labels")
    assert newest.attribution == checkpoint.read_manifest(middle).attribution == "Anna, CC BY-SA"
    first = Ancestor(relation="starts from", name="encoder", weights=sha256(weights(oldest)).hexdigest(), **terms)
    entry = Ancestor(
        relation="starts from",
        name="published",
        version=1,
        weights=sha256(weights(middle)).hexdigest(),
        licence="CC-BY-SA-4.0",
        attribution="Anna, CC BY-SA",
        lineage=(first,),
    )
    assert newest.lineage == (entry,)
    copied = checkpoint.read_manifest(tune("copied", str(registry.resolve("published"))))
    assert copied.lineage == (entry,)
    assert copied.licence == "CC-BY-SA-4.0"


def test_a_manifest_counts_what_was_left_out_and_quotes_none_of_it(write_recipe, recipes, data, tmp_path):
    rude = {**recipes["generator"], "cleaning": {"blocked": ["지루한"]}}
    manifest = checkpoint.read_manifest(train(write_recipe(rude), data, tmp_path / "runs").checkpoint)
    (corpus, *_) = manifest.training["data_report"]["corpora"]
    assert corpus["left_out"]["blocked"] > 0
    assert "정말 지루한 영화" not in json.dumps(manifest.training["data_report"], ensure_ascii=False)


def test_a_manifest_has_the_examples_of_its_recipe_and_says_whether_it_learned_pairs(
    write_recipe, recipes, data, tmp_path
):
    rows = [line.split("\t") for line in (data / "labelled.tsv").read_text().splitlines()]
    (data / "labelled.tsv").write_text("".join(f"{label}\t{text}\t{text}\n" for label, text in rows))
    columns = {"columns": ["label", "text", "pair"]}
    examples = {"A pair": {"inputs": {"text": "a", "text_pair": "b"}}}
    recipe = {**recipes["classifier"], "examples": examples, "tests": []}
    recipe["corpora"] = [{**recipe["corpora"][0], **columns}]
    manifest = checkpoint.read_manifest(train(write_recipe(recipe), data, tmp_path / "runs").checkpoint)
    assert manifest.takes_pairs
    assert manifest.examples == examples
    resumed = {**recipe, "examples": {}}
    manifest = checkpoint.read_manifest(train(write_recipe(resumed), data, tmp_path / "runs").checkpoint)
    assert manifest.examples == {}  # another example is no other training


def test_a_state_of_another_recipe_is_refused_and_can_be_dropped(write_recipe, recipes, data, tmp_path):
    train(write_recipe(recipes["generator"]), data, tmp_path / "runs")
    changed = write_recipe(recipes["generator"], learning_rate=0.001)
    with pytest.raises(ResumeError, match="saved under another recipe"):
        train(changed, data, tmp_path / "runs")
    said: list[str] = []
    train(changed, data, tmp_path / "runs", resume=False, say=said.append)
    assert not any("going on" in line for line in said)
    assert [entry["step"] for entry in log(tmp_path / "runs" / "generator")] == [6, 12]


def test_a_larger_budget_continues_a_finished_run(write_recipe, recipes, data, tmp_path):
    train(write_recipe(recipes["generator"]), data, tmp_path / "runs")
    said: list[str] = []
    result = train(write_recipe(recipes["generator"], steps=16), data, tmp_path / "runs", say=said.append)
    assert "generator: going on after step 12" in said
    assert checkpoint.read_manifest(result.checkpoint).training["steps"] == 16


def test_a_run_ends_when_its_minutes_are_spent(write_recipe, recipes, data, tmp_path):
    recipe = write_recipe(recipes["generator"], steps=1_000_000, max_minutes=0.01)
    result = train(recipe, data, tmp_path / "runs")
    training = checkpoint.read_manifest(result.checkpoint).training
    assert 1 <= training["steps"] < 10_000


def test_a_run_may_live_in_a_thread_where_signals_cannot_be_caught(write_recipe, recipes, data, tmp_path):
    results: list[run.TrainingResult] = []
    recipe = write_recipe(recipes["generator"], steps=2)
    thread = threading.Thread(target=lambda: results.append(train(recipe, data, tmp_path / "runs")))
    thread.start()
    thread.join()
    assert len(results) == 1


def test_a_loss_that_is_no_number_ends_the_run(write_recipe, recipes, data, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "smoothed_cross_entropy", lambda x, *rest: (x.sum() * 0) + torch.nan)
    with pytest.raises(trainer.DivergedError, match="the loss is nan at step 0, learning rate"):
        train(write_recipe(recipes["generator"]), data, tmp_path / "runs")


def test_a_model_section_that_fits_no_architecture_is_refused_before_any_data_is_read(
    write_recipe, recipes, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(run, "read_splits", None)
    model = {**recipes["generator"]["model"], "widht": 3}
    with pytest.raises(RecipeError, match=r"generator.yaml: model has no field 'widht' \(did you mean 'width'\?\)"):
        train(write_recipe({**recipes["generator"], "model": model}), data, tmp_path / "runs", resume=False)
    assert not (tmp_path / "runs").exists()


def test_missing_data_is_named(write_recipe, recipes, tmp_path):
    with pytest.raises(DataError, match=r"rated.tsv: no such file"):
        train(write_recipe(recipes["generator"]), tmp_path, tmp_path / "runs")


def test_a_balanced_vocabulary_covers_a_language_of_which_there_is_little(write_recipe, recipes, data, tmp_path):
    (data / "little.tsv").write_text("고양이가 잔다\tthe cat sleeps\n" * 3, encoding="utf-8")
    little = {"file": "little.tsv", "columns": ["ko", "en"], "directions": ["ko-en", "en-ko"]}
    sizes = []
    for balanced in (False, True):
        recipe = {
            **recipes["translator"],
            "name": f"balanced-{balanced}".lower(),
            "tokenizer": {"kind": "byte_bpe", "vocab_size": 290, "balanced": balanced},
            "corpora": [*recipes["translator"]["corpora"], little],
        }
        result = train(write_recipe(recipe, steps=1), data, tmp_path / "runs")
        sizes.append(len(checkpoint.load(result.checkpoint).tokenizer.encode("고양이가 잔다")))
    assert sizes[1] < sizes[0]


def test_a_field_at_its_default_is_no_other_recipe(write_recipe, recipes, data, tmp_path):
    train(write_recipe(recipes["generator"]), data, tmp_path / "runs")
    stated = write_recipe({**recipes["generator"], "seed": 1, "word_dropout": 0.0}, steps=14, patience=0, beta2=0.98)
    said: list[str] = []
    train(stated, data, tmp_path / "runs", say=said.append)
    assert "generator: going on after step 12" in said
    with pytest.raises(ResumeError, match="saved under another recipe"):
        train(write_recipe(recipes["generator"], beta2=0.97), data, tmp_path / "runs")
