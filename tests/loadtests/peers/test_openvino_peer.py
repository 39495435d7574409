"""OpenVINO says what ours says, from the same weights, whatever the job."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from loadtests.bench import engines
from loadtests.bench.jobs import Entry, Job, Room
from loadtests.peers import openvino_export, openvino_peer
from models.config import Seq2SeqConfig
from tests.models.tiny import BERTS, CONFIGS, built

ROOM = Room(prompt_tokens=11, new_tokens=8)
SEQ2SEQ = "seq2seq-pre-sinusoidal-tied"
DECODERS = [SEQ2SEQ, "seq2seq-post-sinusoidal-tied", "seq2seq-pre-learned-untied", "gpt-pre", "gpt-post"]


def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(3, 61, (length,), generator=generator).tolist() for length in (3, 11, 5, 8, 4, 9, 6)]


def opened(model: Any, directory: Path, format: str = "float32") -> tuple[engines.Triptych, Any]:
    """Ours in float32 and theirs."""
    (directory / "config.json").write_text(json.dumps(model.config.to_dict()), encoding="utf-8")
    getattr(openvino_export, model.config.architecture)(model, directory)
    theirs = openvino_peer.open_model(Entry("openvino", format), directory, ROOM, 2)
    return engines.Triptych(model, "float32", ROOM), theirs


@pytest.mark.parametrize("name", DECODERS)
def test_greedy_search_and_beams_find_the_same_at_exact_and_at_natural_lengths(name: str, tmp_path: Path) -> None:
    ours, theirs = opened(built(CONFIGS[name]), tmp_path)
    for beams in (1, 4):
        for exact in (True, False):
            job = Job(prompts=prompts(), in_flight=3, max_new_tokens=8, exact=exact, beams=beams)
            assert theirs.run(job) == ours.run(job), (beams, exact)


def test_a_prompt_that_ends_early_leaves_the_batch_to_the_others(tmp_path: Path) -> None:
    model = built(CONFIGS[SEQ2SEQ])
    ours, theirs = opened(model, tmp_path)
    job = Job(prompts=prompts(), in_flight=7, max_new_tokens=8, exact=True)
    # What some say at once and others never becomes the end token's place in the vocabulary.
    said = [output[2] for output in ours.run(job)]
    theirs.end_id = said[0]
    natural = Job(prompts=prompts(), in_flight=7, max_new_tokens=8, exact=False)
    expected = [o[: o.index(said[0])] if said[0] in o else o for o in ours.run(job)]
    assert len({len(output) for output in expected}) > 1
    assert theirs.run(natural) == expected


@pytest.mark.skipif("bfloat16" not in openvino_peer.formats(), reason="this CPU has no products of bfloat16")
def test_prompts_of_mixed_lengths_are_numbers_in_bfloat16_too(tmp_path: Path) -> None:
    """Columns of padding alone, where a mask of minus infinity would leave nothing to divide by."""
    ours, theirs = opened(built(CONFIGS["gpt-pre"]), tmp_path, "bfloat16")
    job = Job(prompts=prompts(), in_flight=7, max_new_tokens=8, exact=True)
    pairs = [
        (a, b)
        for one, other in zip(theirs.run(job), ours.run(job), strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    assert sum(a == b for a, b in pairs) > len(pairs) / 2


@pytest.mark.parametrize("format", openvino_peer.formats())
def test_in_every_format_those_who_stay_go_on_with_what_is_theirs(format: str, tmp_path: Path) -> None:
    """The first tokens of prompts that others leave one after the other, each as it is alone."""
    _, theirs = opened(built(CONFIGS[SEQ2SEQ]), tmp_path, format)
    job = Job(prompts=prompts(), in_flight=1, max_new_tokens=8, exact=True)
    alone = theirs.run(job)
    theirs.end_id = alone[0][2]
    expected = [o[: o.index(theirs.end_id)] if theirs.end_id in o else o for o in alone]
    together = theirs.run(replace(job, in_flight=7, exact=False))
    assert len({len(output) for output in expected}) > 1
    assert sum(one == other for one, other in zip(together, expected, strict=True)) >= len(expected) - 1


@pytest.mark.parametrize("name", BERTS)
def test_classifiers_choose_the_same_labels(name: str, tmp_path: Path) -> None:
    ours, theirs = opened(built(BERTS[name]), tmp_path)
    job = Job(prompts=prompts(), in_flight=3, max_new_tokens=1, exact=True)
    expected = ours.run(job)
    assert len({label for (label,) in expected}) > 1
    assert theirs.run(job) == expected


@pytest.mark.parametrize("format", openvino_peer.formats())
def test_every_format_keeps_exact_lengths(format: str, tmp_path: Path) -> None:
    _, theirs = opened(built(CONFIGS[SEQ2SEQ]), tmp_path, format)
    for beams in (1, 4):
        job = Job(prompts=prompts(), in_flight=3, max_new_tokens=8, exact=True, beams=beams)
        assert {len(output) for output in theirs.run(job)} == {8}


def test_keys_and_values_are_kept_in_place(tmp_path: Path) -> None:
    """By an attention that has the states in it: one over what is handed to it is taken apart into products."""
    config = CONFIGS[SEQ2SEQ]
    assert isinstance(config, Seq2SeqConfig)
    _, theirs = opened(built(config), tmp_path)
    decoder = theirs._compiled(1).get_compiled_model().get_runtime_model()
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in decoder.get_ops()]
    assert kinds.count("ScaledDotProductAttention") == config.decoder_layers
    assert kinds.count("Softmax") == config.decoder_layers, "cross-attention's"
