"""`triptych import`: a published model becomes a version of a registry, or nothing does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner, Result

from models import huggingface
from models.checkpoint import Checkpoint
from models.interface import CausalBatch, Prompts
from models.registry import Registry
from service.cli import app
from tests.models.huggingface.awkward import TEXTS
from tests.models.huggingface.pieces import marian
from tests.models.huggingface.published import DECODER, ENCODER, MARIAN, SEQ2SEQ, made, written
from tests.models.huggingface.test_vocabularies import byte_level, unigram, wordpiece

CARD = "---\nlicense: mit\nbase_model: acme/base\n---\n# A model\n\nMade by us.\n"


def imported(tmp_path: Path, directory: Path, *options: object) -> Result:
    arguments = ["import", str(directory), "--registry", str(tmp_path / "registry"), *map(str, options)]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def generator(directory: Path, **values: Any) -> Path:
    vocabulary = byte_level()
    written(made("Llama", {**DECODER, "vocab_size": len(vocabulary), **values}, "causal"), directory)
    vocabulary.save_pretrained(directory)
    return directory


def classifier(directory: Path, seed: int = 0) -> Path:
    vocabulary = wordpiece(True)
    values = {**ENCODER, "vocab_size": len(vocabulary), "id2label": {0: "bad", 1: "good"}}
    written(made("Bert", values, "labels", seed), directory)
    vocabulary.save_pretrained(directory)
    return directory


def test_an_encoder_without_heads_is_not_measured_alone_and_says_so(tmp_path: Path) -> None:
    vocabulary = wordpiece(True)
    written(made("Bert", {**ENCODER, "vocab_size": len(vocabulary)}, "words"), tmp_path / "reads")
    vocabulary.save_pretrained(tmp_path / "reads")
    assert imported(tmp_path, tmp_path / "reads").exit_code == 0
    file = tmp_path / "texts.tsv"
    file.write_text("text\na word\n")
    arguments = ["evaluate", "reads", "--data", str(file), "--registry", str(tmp_path / "registry")]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert "this encoder has no head that guesses words" in done.output
    assert "Traceback" not in done.output


@torch.no_grad()
def said_of(loaded: Checkpoint, text: str) -> str:
    assert loaded.manifest.format is not None
    ids, _ = loaded.manifest.format.pair(loaded.tokenizer, text)
    logits = loaded.model(Prompts(tokens_BS=torch.tensor([ids]), lengths_B=torch.tensor([len(ids)])))
    return loaded.manifest.labels[int(logits.argmax())]


def test_it_is_a_checkpoint_as_any_other_and_the_same_model(tmp_path: Path) -> None:
    directory = generator(tmp_path / "My Llama")
    (directory / "README.md").write_text(CARD)
    done = imported(tmp_path, directory)
    assert done.exit_code == 0, done.output
    assert "Published as my-llama@1" in done.output
    assert "triptych serve --model my-llama@1 --registry" in done.output
    registry = Registry(tmp_path / "registry")
    loaded, direct = registry.load("my-llama"), huggingface.load(directory)
    assert (loaded.manifest.licence, loaded.manifest.attribution) == ("mit", "made from acme/base")
    assert (registry.resolve("my-llama") / "README.md").read_text() == CARD
    assert loaded.manifest.publication["imported_from"] == "My Llama"
    assert loaded.manifest.format == direct.manifest.format
    ids = torch.tensor([loaded.tokenizer.encode("Hello there, 안녕")])
    assert direct.tokenizer.encode("Hello there, 안녕") == ids[0].tolist()
    assert torch.equal(loaded.model(CausalBatch(tokens_BT=ids)), direct.model(CausalBatch(tokens_BT=ids)))
    assert imported(tmp_path, directory, "--name", "other").output.startswith("Published as other@1")
    assert "Published as my-llama@2" in imported(tmp_path, directory).output


def test_weights_keep_their_number_format(tmp_path: Path) -> None:
    directory = generator(tmp_path / "it", dtype="bfloat16")
    size = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    assert imported(tmp_path, directory).exit_code == 0
    stored = Registry(tmp_path / "registry").resolve("it") / "model.safetensors"
    assert abs(stored.stat().st_size - size) < 4096


def test_a_pickle_is_converted_where_that_is_asked_for(tmp_path: Path) -> None:
    directory = generator(tmp_path / "old")
    expected = huggingface.load(directory).model.state_dict()
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()
    refused = imported(tmp_path, directory)
    assert refused.exit_code != 0
    assert "triptych import --convert-pickle" in refused.output
    assert imported(tmp_path, directory, "--convert-pickle").exit_code == 0
    found = Registry(tmp_path / "registry").load("old").model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_adapter_is_published_as_the_model_that_it_makes_of_its_base(tmp_path: Path) -> None:
    base = generator(tmp_path / "base")
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(target_modules=["q_proj"], init_lora_weights=False),
    )
    model.save_pretrained(tmp_path / "tuned")
    base.rename(tmp_path / "moved")
    refused = imported(tmp_path, tmp_path / "tuned")
    assert refused.exit_code != 0
    assert "base_model_name_or_path is" in refused.output
    done = imported(tmp_path, tmp_path / "tuned", "--base", tmp_path / "moved")
    assert done.exit_code == 0, done.output
    loaded, ids = Registry(tmp_path / "registry").load("tuned"), torch.tensor([[5, 9, 14]])
    expected = model.merge_and_unload()(ids).logits
    torch.testing.assert_close(loaded.model(CausalBatch(tokens_BT=ids)), expected, atol=1e-4, rtol=1e-4)


def test_a_marian_translator_keeps_both_of_its_vocabularies(tmp_path: Path) -> None:
    directory = tmp_path / "opus-mt-en-fr"
    directory.mkdir()
    size = len(marian(directory).json("vocab.json"))
    ids: dict[str, Any] = {"pad_token_id": size - 1, "decoder_start_token_id": size - 1, "eos_token_id": 0}
    model = made("Marian", {**MARIAN, **ids, "vocab_size": size, "decoder_vocab_size": size}, "seq2seq")
    model.generation_config.bad_words_ids = [[size - 1]]
    written(model, directory)
    assert imported(tmp_path, directory).exit_code == 0
    loaded, direct = Registry(tmp_path / "registry").load("opus-mt-en-fr"), huggingface.load(directory)
    for text in ("the same as ever", "한글 ~ \\n", "</s>"):
        assert loaded.tokenizer.encode(text) == direct.tokenizer.encode(text)
        assert loaded.tokenizer.target.encode(text) == direct.tokenizer.target.encode(text)
    assert any(direct.tokenizer.encode(text) != direct.tokenizer.target.encode(text) for text in TEXTS)
    assert loaded.manifest.language_pairs == (("en", "fr"),)
    assert loaded.model.embedding.output_bias[size - 1] < -1000


def text_to_text(directory: Path, **values: Any) -> Path:
    vocabulary = unigram()
    given = {**SEQ2SEQ, "vocab_size": len(vocabulary), "forced_eos_token_id": None, **values}
    written(made("Bart", given, "seq2seq"), directory)
    vocabulary.save_pretrained(directory)
    return directory


def test_whoever_imports_says_which_languages_where_the_directory_does_not(tmp_path: Path) -> None:
    directory = text_to_text(tmp_path / "it")
    words = ("--prefix", "translate {source} to {target}: ", "--language", "en=English", "--language", "ko=Hello")
    done = imported(tmp_path, directory, "--pair", "en-ko", "--pair", "ko-en", *words)
    assert done.exit_code == 0, done.output
    loaded = Registry(tmp_path / "registry").load("it")
    assert (loaded.manifest.task, loaded.manifest.also) == ("translate", ("generate",))
    assert loaded.manifest.language_pairs == (("en", "ko"), ("ko", "en"))
    assert loaded.manifest.format is not None
    assert loaded.tokenizer.decode(loaded.manifest.format.source(loaded.tokenizer, "Hi", "ko", "en")).startswith(
        "translate English to Hello: Hi"
    )


def test_what_config_json_says_of_translations_is_taken(tmp_path: Path) -> None:
    trained = {
        "summarization": {"prefix": "summarize: "},
        "translation_en_to_de": {"prefix": "translate English to German: "},
        "translation_en_to_fr": {"prefix": "translate English to French: "},
    }
    directory = text_to_text(tmp_path / "it", task_specific_params=trained)
    manifest = huggingface.read_manifest(directory)
    assert (manifest.task, manifest.also) == ("generate", ("translate",))
    assert manifest.language_pairs == (("en", "de"), ("en", "fr"))
    assert imported(tmp_path, directory, "--task", "translate").exit_code == 0
    assert Registry(tmp_path / "registry").load("it").manifest.task == "translate"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pair", "enko"), "--pair 'enko' is not of the form SOURCE-TARGET"),
        (("--task", "classify"), "is made to generate, not to classify"),
        (("--task", "sing"), "--task is 'sing', expected one of translate"),
        (("--prefix", "a: "), "which languages it is for is not said"),
        (("--pair", "en-ko", "--pair", "ko-en", "--prefix", "a: "), "the same for all 2 language pairs"),
        (("--language", "English"), "--language 'English' is not of the form CODE=NAME"),
        (("--name", "../up"), "'../up'"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_published(options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = imported(tmp_path, text_to_text(tmp_path / "it"), *options)
    assert (done.exit_code, said in done.output) == (2, True), done.output
    assert not Registry(tmp_path / "registry").list()


def test_a_directory_that_is_wrong_leaves_nothing_behind(tmp_path: Path) -> None:
    directory = generator(tmp_path / "it")
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = imported(tmp_path, directory)
    assert (done.exit_code, "not a safetensors file, or half of one" in done.output) == (2, True), done.output
    assert not Registry(tmp_path / "registry").list()
    assert [path.name for path in (tmp_path / "registry").rglob("*") if path.is_file()] == []


def test_scores_of_files_are_kept_and_a_worse_version_is_refused(tmp_path: Path) -> None:
    directory = classifier(tmp_path / "judge", seed=1)
    loaded = huggingface.load(directory)
    texts = [text for text in TEXTS if text.isprintable() and text == text.strip() and 5 < len(text) < 30]
    labels = [said_of(loaded, text) for text in texts]
    assert {*labels} == {"bad", "good"}
    (tmp_path / "test.tsv").write_text(
        "text\tlabel\n" + "".join(f"{t}\t{y}\n" for t, y in zip(texts, labels, strict=True))
    )
    done = imported(tmp_path, directory, "--score", tmp_path / "test.tsv")
    assert done.exit_code == 0, done.output
    registry = Registry(tmp_path / "registry")
    assert registry.load("judge").manifest.scores["test.tsv"]["accuracy"] == 1.0
    assert "accuracy" in (registry.resolve("judge") / "README.md").read_text()
    worse = classifier(tmp_path / "worse", seed=2)
    refused = imported(tmp_path, worse, "--name", "judge", "--score", tmp_path / "test.tsv")
    assert (refused.exit_code, "Nothing was published" in refused.output) == (2, True), refused.output
    assert registry.current("judge") == 1
    unscored = imported(tmp_path, worse, "--name", "judge")
    assert (unscored.exit_code, "--force publishes it all the same" in unscored.output) == (2, True), unscored.output
    assert imported(tmp_path, worse, "--name", "judge", "--force").exit_code == 0
    assert registry.current("judge") == 2
