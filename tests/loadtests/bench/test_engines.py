"""Every contender gives the same outputs from the same weights, whatever the job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from loadtests.bench import engines
from loadtests.bench.jobs import Entry, Job, Room
from models.shortlist import Translations
from tests.models.tiny import BERTS, CONFIGS, built

PEERS = [Entry("ctranslate2", "float32"), Entry("transformers", "float32")]
ROOM = Room(prompt_tokens=11, new_tokens=8)
# What the peers have: no recurrent models, no export of Llama, and transformers no GPT of this norm order.
GENERATING = [name for name in CONFIGS if name.startswith(("seq2seq", "gpt")) and name != "gpt-post"]


def prompts(count: int = 7) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    lengths = [3, 11, 5, 8, 4, 9, 6][:count]
    return [torch.randint(3, 61, (length,), generator=generator).tolist() for length in lengths]


def answers(directory: Path, entry: Entry, job: Job) -> list[list[int]]:
    return entry.opener()(entry, directory, ROOM, 2).run(job)


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "natural"])
@pytest.mark.parametrize("name", GENERATING)
def test_greedy_outputs_are_the_same(name: str, exact: bool, tmp_path: Path) -> None:
    engines.write(built(CONFIGS[name]), tmp_path)
    job = Job(prompts=prompts(), in_flight=3, max_new_tokens=8, exact=exact)
    ours = answers(tmp_path, Entry("triptych", "float32"), job)
    assert not exact or {len(output) for output in ours} == {8}
    for peer in PEERS:
        assert answers(tmp_path, peer, job) == ours, peer


@pytest.mark.parametrize("name", BERTS)
def test_classifiers_choose_the_same_labels(name: str, tmp_path: Path) -> None:
    engines.write(built(BERTS[name]), tmp_path)
    job = Job(prompts=prompts(), in_flight=3, max_new_tokens=1, exact=True)
    ours = answers(tmp_path, Entry("triptych", "float32"), job)
    assert len({label for (label,) in ours}) > 1
    for peer in PEERS:
        assert answers(tmp_path, peer, job) == ours, peer


def test_batches_by_tokens_change_no_output(tmp_path: Path) -> None:
    engines.write(built(CONFIGS["seq2seq-pre-sinusoidal-tied"]), tmp_path)
    job = Job(prompts=prompts(), in_flight=2, max_new_tokens=8, exact=False)
    by_examples, by_tokens = (
        answers(tmp_path, Entry("ctranslate2", "float32", by_tokens), job) for by_tokens in (False, True)
    )
    assert by_tokens == by_examples


def test_every_engine_is_there_and_by_tokens_only_where_lengths_are_free() -> None:
    found = engines.entries(natural_ends=False)
    assert {entry.engine for entry in found} == {"triptych", "ctranslate2", "openvino", "transformers"}
    assert {entry.format for entry in found if entry.engine == "triptych"} == set(engines.precisions())
    assert not any(entry.by_tokens for entry in found)
    assert any(entry.by_tokens for entry in engines.entries(natural_ends=True))


def test_with_a_table_ctranslate2_chooses_what_ours_chooses_and_nothing_else(tmp_path: Path) -> None:
    model = built(CONFIGS["seq2seq-pre-sinusoidal-tied"])
    chance = np.random.default_rng(0)
    size = model.config.vocab_size
    table = Translations(
        tokens=chance.integers(size, size=size, dtype=np.int32),
        ends=np.arange(1, size + 1),
        always=np.arange(3, dtype=np.int32),
    )
    engines.write(model, tmp_path, table)
    # One at a time: in a batch CTranslate2 allows to each what is allowed to any.
    job = Job(prompts=prompts(), in_flight=1, max_new_tokens=8, exact=False)
    ours, theirs = (
        answers(tmp_path, Entry(engine, "float32", listed=True), job) for engine in ("triptych", "ctranslate2")
    )
    assert ours == theirs
    assert ours != answers(tmp_path, Entry("triptych", "float32"), job)
    for prompt, output in zip(job.prompts, ours, strict=True):
        assert {*output} <= {*table.of(prompt).tolist()}


def test_with_a_table_ours_in_int8_and_ctranslate2_run_with_it_too() -> None:
    without, found = (engines.entries(natural_ends=True, table=table) for table in (False, True))
    assert not any(entry.listed for entry in without)
    assert {entry for entry in found if not entry.listed} == {*without}
    listed = {(entry.engine, entry.format, entry.by_tokens) for entry in found if entry.listed}
    assert {each for each in listed if each[0] == "triptych"} <= {("triptych", "int8", False)}
    theirs = {(entry.engine, entry.format, entry.by_tokens) for entry in without if entry.engine == "ctranslate2"}
    assert {each for each in listed if each[0] != "triptych"} == theirs


@pytest.mark.parametrize("name", ["seq2seq-pre-sinusoidal-tied", "seq2seq-post-sinusoidal-tied"])
def test_beam_search_of_exact_length_finds_the_same_as_transformers(name: str, tmp_path: Path) -> None:
    engines.write(built(CONFIGS[name]), tmp_path)
    job = Job(prompts=prompts(), in_flight=3, max_new_tokens=8, exact=True, beams=4)
    ours, ctranslate2, transformers = (
        answers(tmp_path, entry, job) for entry in (Entry("triptych", "float32"), *PEERS)
    )
    assert {len(output) for output in (*ours, *ctranslate2)} == {8}
    assert ours == transformers


def test_beam_search_of_free_length_finds_the_same_as_transformers(tmp_path: Path) -> None:
    engines.write(built(CONFIGS["seq2seq-pre-sinusoidal-tied"]), tmp_path)
    job = Job(prompts=prompts(), in_flight=3, max_new_tokens=8, exact=False, beams=4)
    ours, theirs = (answers(tmp_path, entry, job) for entry in (Entry("triptych", "float32"), PEERS[1]))
    assert ours == theirs
