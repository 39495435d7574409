from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.bench import workloads
from loadtests.bench.engines import Triptych
from loadtests.bench.workloads import SENTENCES, TEXTS, Options, read
from models.checkpoint import SHORTLIST, save, write_manifest
from models.shortlist import learned
from tests.models.huggingface.published import ENCODER, GPT2, made, written
from tests.models.huggingface.test_vocabularies import byte_level, wordpiece

OPTIONS = Options(batches=(1, 4), tokens=5)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The big shapes, narrow."""
    narrow = {"width": 32, "heads": 4, "feedforward": 48}
    monkeypatch.setattr(workloads, "OPUS", replace(workloads.OPUS, **narrow))
    monkeypatch.setattr(workloads, "GPT2_SMALL", replace(workloads.GPT2_SMALL, **narrow))
    monkeypatch.setattr(workloads, "BERT_BASE", {**narrow, "layers": 2})


def test_the_texts_in_the_repository_are_many_and_of_mixed_lengths() -> None:
    sentences, texts = read(SENTENCES), read(TEXTS)
    assert (len(sentences), len(texts)) == (40, 64)
    assert all(len(row) == 2 and all(row) for row in [*sentences, *texts])
    lengths = [len(row[1]) for row in texts]
    assert max(lengths) > 10 * min(lengths)


def test_each_letter_names_its_workload_and_d_two() -> None:
    found = workloads.workloads("abcd", OPTIONS)
    assert [workload.name for workload in found] == ["a", "b", "c", "d", "d-base"]
    for workload in found:
        room = workload.room
        assert all(len(prompt) <= room.prompt_tokens for job in workload.jobs for prompt in job.prompts)


def test_translators_search_greedily_and_with_beams_generators_greedily() -> None:
    shipped, opus, gpt = workloads.workloads("abc", OPTIONS)
    both = [("greedy", 1), ("greedy", 4), ("beam 4", 1), ("beam 4", 4)]
    for workload in (shipped, opus):
        assert [(job.search, job.in_flight) for job in workload.jobs] == both
    assert [(job.search, job.in_flight) for job in gpt.jobs] == both[:2]
    assert all(len(job.prompts) == 40 and not job.exact for job in shipped.jobs)
    assert all(len(job.prompts) == job.in_flight and job.exact for job in opus.jobs)
    assert {len(prompt) for job in gpt.jobs for prompt in job.prompts} == {128}
    (greedy_only,) = workloads.workloads("b", replace(OPTIONS, beams=False))
    assert [(job.search, job.in_flight) for job in greedy_only.jobs] == both[:2]


def test_a_random_table_gives_a_prompt_about_as_many_tokens_as_are_asked_for() -> None:
    (without,) = workloads.workloads("b", OPTIONS)
    assert without.table is None
    (workload,) = workloads.workloads("b", replace(OPTIONS, candidates=300))
    assert workload.table is not None
    for prompt in workload.jobs[-1].prompts:
        assert len(workload.table.of(prompt)) == pytest.approx(300, rel=0.05)


@pytest.mark.parametrize("candidates", [95, 32002])
def test_a_table_that_would_be_too_small_or_too_large_is_refused(candidates: int) -> None:
    with pytest.raises(ValueError, match=f"candidates is {candidates}, expected 96 to the vocabulary's 32001"):
        workloads.workloads("b", replace(OPTIONS, candidates=candidates))


def test_a_given_translator_brings_its_table(tmp_path: Path) -> None:
    shipped = workloads.shipped("translator")
    save(tmp_path / "it", model=shipped.model, tokenizer=shipped.tokenizer, manifest=shipped.manifest)
    size = shipped.config.vocab_size
    learned({"en": []}, vocabulary=size, best=1, frequent=0, always=[7]).save(tmp_path / "it" / SHORTLIST)
    write_manifest(tmp_path / "it", shipped.manifest)
    (workload,) = workloads.workloads("a", replace(OPTIONS, model=tmp_path / "it"))
    assert workload.title.startswith("it, fr→en")
    assert workload.table is not None
    assert workload.table.always.tolist() == [7]
    (other,) = workloads.workloads("a", replace(OPTIONS, model=tmp_path / "it", pair=("en", "fr")))
    assert other.table is None


def test_a_file_of_one_s_own_takes_the_place_of_the_sentences(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("hello\tbonjour\n\nthank you\tmerci\nplease\ts'il vous plaît\n", encoding="utf-8")
    (workload,) = workloads.workloads("a", replace(OPTIONS, sentences=path, pair=("en", "fr"), limit=2))
    assert workload.references == ["bonjour", "merci"]
    assert workload.count(workload.jobs[0]) == 2
    assert workload.texts([workload.checkpoint.tokenizer.encode("merci")]) == ["merci"]


def test_a_random_classifier_gives_both_labels_so_that_agreement_says_something() -> None:
    workload = workloads.workloads("d", OPTIONS)[1]
    outputs = Triptych(workload.model, "float32", workload.room).run(workload.jobs[0])
    share = sum(label for (label,) in outputs) / len(outputs)
    assert 0.2 < share < 0.8


def test_random_translators_and_generators_say_more_than_one_token() -> None:
    for name in "bc":
        (workload,) = workloads.workloads(name, replace(OPTIONS, tokens=12, beams=False))
        outputs = Triptych(workload.model, "float32", workload.room).run(workload.jobs[-1])
        assert len({tuple(output) for output in outputs}) == len(outputs), name
        assert max(len(set(output)) for output in outputs) > 2, name


def test_a_models_directory_takes_the_place_of_random_weights(tmp_path: Path) -> None:
    bytes_ = byte_level()
    written(made("GPT2", {**GPT2, "vocab_size": len(bytes_)}, "causal"), tmp_path / "small")
    bytes_.save_pretrained(tmp_path / "small")
    [found] = workloads.workloads("c", replace(OPTIONS, model=tmp_path / "small"))
    assert found.title.startswith("small, prompts of")
    assert found.model.config.width == GPT2["n_embd"]
    vocabulary = wordpiece(True)
    written(made("Bert", {**ENCODER, "vocab_size": len(vocabulary)}, "labels"), tmp_path / "judge")
    vocabulary.save_pretrained(tmp_path / "judge")
    [found] = workloads.workloads("d", replace(OPTIONS, model=tmp_path / "judge"))
    assert found.jobs[0].prompts[0][:1] == [vocabulary.convert_tokens_to_ids("[CLS]")]
    with pytest.raises(ValueError, match="judge is of bert, the workload's models are gpt"):
        workloads.workloads("c", replace(OPTIONS, model=tmp_path / "judge"))
