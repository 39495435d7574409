"""Requests to sequences and ends to answers, without an engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.engine.sequence import SequenceSpec
from service.errors import InputTooLong, InvalidRequest
from service.messages import Decoding, GenerateRequest, Request, TranslateRequest
from service.worker.tasks.task import Limits, WorkerTask
from tests import checkpoints


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WorkerTask]:
    root: Path = tmp_path_factory.mktemp("tasks")
    return {
        "translator": checkpoints.task_of(
            checkpoints.translator(root / "translator"),
            Limits(max_prompt_tokens=48, max_characters=400, max_new_tokens=47, slots=4),
        ),
        "generator": checkpoints.task_of(
            checkpoints.generator(root / "generator"),
            Limits(max_prompt_tokens=64, max_characters=400, max_new_tokens=64, max_total_tokens=64),
        ),
    }


def translate(**fields: object) -> TranslateRequest:
    return TranslateRequest(
        **{"id": "t", "text": "Je suis fatigué.", "source_language": "fr", "target_language": "en", **fields}
    )


def specs(task: WorkerTask, request: Request) -> list[SequenceSpec]:
    return [spec for part in task.prepare(request) for spec in part.specs]


def test_the_prompt_counts_as_repeated_where_it_is_the_same_text(tasks: dict[str, WorkerTask]) -> None:
    for name, request in {"generator": GenerateRequest(id="g", text="x"), "translator": translate()}.items():
        (sequence,) = specs(tasks[name], request)
        assert sequence.sampling.penalize_prompt is (name == "generator")


def test_samples_differ_in_their_seeds_alone_and_the_first_is_the_only_ones(tasks: dict[str, WorkerTask]) -> None:
    asked = Decoding(do_sample=True, seed=7, temperature=0.5, num_return_sequences=3)
    (alone,) = specs(
        tasks["generator"], GenerateRequest(id="g", text="x", decoding=replace(asked, num_return_sequences=1))
    )
    together = specs(tasks["generator"], GenerateRequest(id="g", text="x", decoding=asked))
    assert [sequence.sampling.seed for sequence in together] == [7, 8, 9]
    assert together[0].id == alone.id == "g"
    assert together[0].sampling == alone.sampling
    assert all(sequence.want_logprobs for sequence in together)
    assert {replace(sequence.sampling, seed=0) for sequence in together} == {replace(alone.sampling, seed=0)}


def test_the_last_seed_is_followed_by_the_first(tasks: dict[str, WorkerTask]) -> None:
    asked = Decoding(do_sample=True, seed=2**63 - 1, num_return_sequences=2)
    sequences = specs(tasks["generator"], GenerateRequest(id="g", text="x", decoding=asked))
    assert [sequence.sampling.seed for sequence in sequences] == [2**63 - 1, 0]


def test_each_sample_watches_for_its_own_stop_strings(tasks: dict[str, WorkerTask]) -> None:
    asked = Decoding(do_sample=True, num_return_sequences=2, stop=(".",))
    first, second = specs(tasks["generator"], GenerateRequest(id="g", text="x", decoding=asked))
    letter, dot = (tasks["generator"].tokenizer.encode(text)[0] for text in "a.")
    assert first.watch is not None
    assert second.watch is not None
    assert [first.watch(token) for token in (letter, dot)] == [False, True]
    assert not second.watch(letter), "what the first one wrote does not stop it"
    assert second.watch(dot)


def test_a_beam_search_is_one_sequence_with_as_many_results(tasks: dict[str, WorkerTask]) -> None:
    (sequence,) = specs(tasks["translator"], translate(decoding=Decoding(num_beams=4, num_return_sequences=2)))
    assert sequence.beams is not None
    assert (sequence.beams.width, sequence.beams.results) == (4, 2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"num_beams": 5}, "num_beams is 5, the model has 4 slots"),
        ({"num_return_sequences": 2}, "the limit of greedy decoding is 1"),
        ({"num_beams": 2, "num_return_sequences": 3}, "the limit is num_beams, 2"),
        ({"num_beams": 2, "do_sample": True}, "does not go with sampling"),
    ],
)
def test_results_that_cannot_be_are_refused(tasks: dict[str, WorkerTask], asked: dict, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        specs(tasks["translator"], translate(decoding=Decoding(**asked)))


def test_a_target_prefix_leaves_less_room(tasks: dict[str, WorkerTask]) -> None:
    (alone,) = specs(tasks["translator"], translate())
    (after,) = specs(tasks["translator"], translate(target_prefix=" I  am "))
    assert len(after.target_prefix) > 0
    assert after.max_new_tokens == alone.max_new_tokens - len(after.target_prefix) == 47 - len(after.target_prefix)
    assert (after.prompt, tasks["translator"].tokenizer.decode(after.target_prefix)) == (alone.prompt, "I am")
    with pytest.raises(InvalidRequest, match=r"max_new_tokens is 47, the limit after a target_prefix of \d+ tokens is"):
        specs(tasks["translator"], translate(target_prefix="I am", decoding=Decoding(max_new_tokens=47)))
    with pytest.raises(InputTooLong, match=r"target_prefix has \d+ tokens, the limit is 46"):
        specs(tasks["translator"], translate(target_prefix="z" * 60))


def test_length_ratios_are_of_the_text_without_tag_and_end_token(tasks: dict[str, WorkerTask]) -> None:
    (sequence,) = specs(tasks["translator"], translate(min_length_ratio=1, max_length_ratio=2))
    text = len(sequence.prompt) - 2
    assert (sequence.min_new_tokens, sequence.max_new_tokens) == (text, 2 * text)


def test_every_sample_is_aligned_where_alignments_are_asked_for(tasks: dict[str, WorkerTask]) -> None:
    asked = Decoding(do_sample=True, num_return_sequences=2)
    first, second = specs(tasks["translator"], translate(return_alignment=True, alignment_layer=0, decoding=asked))
    assert (first.align_layer, second.align_layer) == (0, 0)
