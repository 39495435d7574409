from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from models import checkpoint
from models.architectures import ARCHITECTURES
from models.checkpoint import Manifest
from models.lineage import DISTILLED_FROM, STARTS_FROM, Ancestor
from models.training.card import render, write_card
from models.training.loading import load_recipe
from models.training.tasks import TASKS
from tests import checkpoints

RECIPES = Path(__file__).resolve().parents[3] / "models" / "training" / "recipes"
SIGNATURE = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.5"
SCORES = {
    "test fr-en": {
        "bleu": 31.234, "chrf": 52.1, "signature": SIGNATURE, "chrf_signature": "nrefs:1|nc:6", "sentences": 1200,
    },
    "test ko-en": {"bleu": 9.0, "chrf": 30.0, "signature": SIGNATURE, "sentences": 300},
}  # fmt: skip
REPORT = {
    "corpora": [
        {
            "name": "train.tsv", "role": "training", "rows": 2000, "kept": 1500, "broken": 3,
            "left_out": {"near_duplicates": 400, "blocked": 100}, "examples": {"blocked": "train.tsv:7: rude words"},
        },
        {"name": "dev.tsv", "role": "validation", "rows": 50, "kept": 50, "left_out": {}, "broken": 0},
    ],
    "training": 1500, "validation": 50,
}  # fmt: skip


@pytest.fixture
def translator(tmp_path: Path) -> Path:
    directory = tmp_path / "translator"
    made = checkpoints.translator(directory)
    recipe = load_recipe(RECIPES / "translator.yaml").model_dump()
    manifest = dataclasses.replace(
        made.manifest,
        scores=SCORES,
        data="Sentences | of somebody",
        licence="CC-BY-SA-4.0",
        attribution="Somebody, CC BY-SA",
        training={"steps": 1000, "minutes": 2.5, "parameters": 12345, "data_report": REPORT, "recipe": recipe},
        versions={"torch": "2.13"},
    )
    checkpoint.write_manifest(directory, manifest)
    return directory


def test_the_request_of_the_card_is_the_first_example_as_a_shell_takes_it(translator):
    examples = {"One": {"inputs": "L'été"}, "Another": {"inputs": "b"}}
    manifest = dataclasses.replace(checkpoint.read_manifest(translator), examples=examples, takes_pairs=True)
    text = render(manifest, checkpoint.read_config(translator), curves=False)
    command = next(line for line in text.splitlines() if line.startswith("curl "))
    assert json.loads(shlex.split(command)[-1]) == {"inputs": "L'été"}
    assert "It was trained on pairs of texts" in text


def test_the_shipped_cards_are_as_they_would_be_rendered_today():
    shipped = list((RECIPES.parents[1] / "checkpoints").glob("*/[0-9]*"))
    assert {directory.parent.name for directory in shipped} == {"translator", "generator", "classifier"}
    for directory in shipped:
        manifest, config = checkpoint.verify(directory), checkpoint.read_config(directory)
        curves = (directory / "curves.png").is_file()
        assert render(manifest, config, curves=curves) == (directory / "README.md").read_text()


def test_the_card_has_everything_the_manifest_knows(translator):
    (translator / "curves.png").write_bytes(b"png")
    manifest = write_card(translator)
    assert set(manifest.files) >= {"README.md", "curves.png"}
    assert checkpoint.verify(translator) == manifest
    text = (translator / "README.md").read_text()
    for part in (
        "This model translates text. It is an encoder-decoder Transformer with 12,345 parameters.",
        "Languages: fr → en, en → fr, ko → en",
        "checkpoint: translator",
        '"src_lang": "fr", "tgt_lang": "en"',
        "| test | BLEU | chrF | size |",
        "| test fr-en | 31.23 | 52.1 | 1,200 sentences |",
        f"- BLEU `{SIGNATURE}`\n",
        "- chrF `nrefs:1|nc:6`: test fr-en",
        "Short everyday sentences.",  # recipe.limits
        "| encoder_layers | 2 |",
        "Sentences | of somebody",
        "| train.tsv | training | 2,000 | 1,500 | 400 near duplicates, 100 blocked, 3 broken |",
        "| dev.tsv | validation | 50 |  |  |",
        "| steps | 1,000 |",
        "![Loss and learning rate by step](curves.png)",
        "batch_tokens: ",
        "Somebody, CC BY-SA",
        "Made with torch 2.13.",
    ):
        assert part in text, part
    assert "rude words" not in text


def test_the_card_names_what_a_model_was_made_with_down_to_the_oldest_and_its_terms(translator):
    oldest = Ancestor(relation=STARTS_FROM, name="oldest", version=2, licence="CC-BY-SA-4.0", attribution="Anna")
    base = Ancestor(
        relation=STARTS_FROM, name="base", weights="ab" * 32, licence="MIT", data="A | B", lineage=(oldest,)
    )
    teacher = Ancestor(relation=DISTILLED_FROM, name="teacher", version=1)
    manifest = checkpoint.read_manifest(translator)
    manifest = dataclasses.replace(manifest, licence="Apache-2.0 AND MIT", lineage=(base, teacher))
    text = render(manifest, checkpoint.read_config(translator), curves=False)
    lineage = text.split("## Lineage\n\n")[1].split("\n\n## ")[0]
    assert [line.rstrip() for line in lineage.splitlines()] == [
        "- It starts from base (not published, weights abababababab), licence MIT",
        "  trained on: A \\| B",
        f"  SHA-256 of its weights: `{'ab' * 32}`",
        "  - base starts from oldest@2, licence CC-BY-SA-4.0",
        "    attribution: Anna",
        "- It is distilled from teacher@1, licence not known",
    ]
    terms = text.split("## Licence\n\n")[1]
    assert "It starts from base (not published, weights abababababab), licence MIT.\n" in terms
    assert "It is distilled from teacher@1, licence not known.\n" in terms
    assert ModelCard(text).data.license == ["apache-2.0", "mit"]


def test_scores_are_shown_with_their_intervals_and_subsets_with_their_rule(translator):
    intervals = {"bleu": [29.876, 32.5], "chrf": [50.0, 54.25]}
    first = {**SCORES["test fr-en"], "intervals": intervals}
    scores = {"test fr-en": first, "test fr-en, far": {**first, "subset": "far: of rare ones"}, "old": {"bleu": 9.5}}
    before, config = checkpoint.read_manifest(translator), checkpoint.read_config(translator)
    text = render(dataclasses.replace(before, scores=scores), config, curves=False)
    assert "| test fr-en | 31.23 [29.88, 32.5] | 52.1 [50, 54.25] | 1,200 sentences |" in text
    assert "| old | 9.5 |  |  |" in text
    assert text.count("A test's subset, far: of rare ones.") == 1
    assert "In brackets: where the figure lies with 95 % certainty" in text
    metrics = yaml.safe_load(text.split("---")[1])["model-index"][0]["results"][0]["metrics"]
    assert [metric["value"] for metric in metrics] == [31.234, 52.1]
    assert "In brackets" not in render(before, config, curves=False)


def test_the_card_says_how_far_confidence_can_be_trusted(translator):
    manifest, config = checkpoint.read_manifest(translator), checkpoint.read_config(translator)
    assert "## Confidence" not in render(manifest, config, curves=False)
    curve = {"direction": "fr-en", "sentences": 1200, "error": 0.0213, "correlation": 0.512, "points": [[-1, 0.4]]}
    scores = {**SCORES, "test fr-en": {**SCORES["test fr-en"], "confidence": curve}}
    card = render(dataclasses.replace(manifest, scores=scores), config, curves=False)
    assert "| test fr-en | 0.0213 | 0.512 | 1,200 sentences |" in card


def test_without_curves_none_are_shown(translator):
    write_card(translator)
    assert "curves.png" not in (translator / "README.md").read_text()


def test_the_hub_understands_the_front_matter(translator):
    write_card(translator)
    data = ModelCard((translator / "README.md").read_text()).data
    assert data.license == "cc-by-sa-4.0"
    assert data.language == ["en", "fr", "ko"]
    assert data.metrics == ["bleu", "chrf"]
    assert data.tags == ["triptych", "seq2seq"]
    assert data.pipeline_tag == "translation"
    found = {(r.dataset_name, r.metric_type): r.metric_value for r in data.eval_results}
    assert found[("test fr-en", "bleu")] == 31.234
    assert len(found) == 4


def test_the_recipe_in_the_card_can_be_run_again(translator, tmp_path):
    write_card(translator)
    text = (translator / "README.md").read_text()
    written = text.split("<summary>Recipe</summary>")[1].split("```yaml\n")[1].split("```")[0]
    (tmp_path / "again.yaml").write_text(written)
    assert load_recipe(tmp_path / "again.yaml") == load_recipe(RECIPES / "translator.yaml")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_has_a_card(tmp_path, task):
    made = checkpoints.classifier(tmp_path / "any")
    text = render(dataclasses.replace(made.manifest, task=task.name), made.config, curves=False)
    served = "embed" if task.name == checkpoint.PRETRAINED else task.name
    assert yaml.safe_load(text.split("---")[1])["pipeline_tag"] == task.hub_name
    assert f"This model {task.does}. It is an encoder-only Transformer" in text
    assert ("start: classifier" in text) == (task.name == checkpoint.PRETRAINED)
    assert f"{{task: {served}, checkpoint: classifier}}" in text


@pytest.mark.parametrize("name", ["classifier", "generator"])
def test_the_card_of_an_untrained_model_says_how_to_ask_it_and_nothing_that_is_not_known(tmp_path, name):
    made = getattr(checkpoints, name)(tmp_path / name)
    text = render(made.manifest, made.config, curves=False)
    assert f"curl http://127.0.0.1:8000/{made.manifest.task}" in text
    front = yaml.safe_load(text.split("---")[1])
    assert front["library_name"] == "triptych"
    assert "license" not in front
    assert "## Scores" not in text
    assert ("Labels: negative, positive" in text) == (name == "classifier")


def test_the_card_of_a_pre_trained_encoder_says_how_to_go_on(tmp_path):
    made = checkpoints.classifier(tmp_path / "encoder")
    manifest = Manifest(name="encoder", architecture="bert", task="pretrain")
    text = render(manifest, made.config, curves=False)
    assert "start: encoder" in text
    assert "{task: embed, checkpoint: encoder}" in text


def test_every_architecture_says_what_a_card_calls_it():
    nouns = {name: config.noun for name, (config, _) in ARCHITECTURES.items()}
    assert all(noun.startswith(("a ", "an ")) for noun in nouns.values())
    assert len({*nouns.values()}) == len(nouns)
