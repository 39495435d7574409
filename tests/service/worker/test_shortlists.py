"""A model that chooses among the tokens of its table: what a request asks for is in its list whatever the table has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.checkpoint import SHORTLIST, Checkpoint, CheckpointError, load, write_manifest
from models.shortlist import learned
from service.messages import Completion, Decoding, Token, TranslateRequest
from service.options import EngineOptions
from service.worker.loading import Loaded
from service.worker.text_engine import TextEngine
from tests import checkpoints

FEW = tuple(range(60, 90))  # ids that the table allows; besides, the source's own tokens
GREEDY = Decoding(max_new_tokens=12)
TEXT = "Je suis fatigué."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "translator"
    checkpoint = checkpoints.translator(directory)
    size = checkpoint.config.vocab_size
    learned({"en": []}, vocabulary=size, best=1, frequent=0, always=FEW).save(directory / SHORTLIST)
    write_manifest(directory, checkpoint.manifest)
    return directory


@pytest.fixture(scope="module")
def engine(made: Path) -> Iterator[TextEngine]:
    engine = TextEngine("it", load(made), EngineOptions(slots=4, precision="float32", shortlist=True))
    yield engine
    engine.close()


def request(name: str = "it", decoding: Decoding = GREEDY, target: str = "en", **fields: object) -> TranslateRequest:
    return TranslateRequest(
        id=name, text=TEXT, source_language="fr", target_language=target, decoding=decoding, **fields
    )


def allowed(checkpoint: Checkpoint, asked: TranslateRequest) -> set[int] | None:
    task = Loaded.of("it", checkpoint, EngineOptions(slots=4, precision="float32", shortlist=True)).task
    found = task.prepare(asked)[0].specs[0].shortlist
    return None if found is None else set(found.tolist())


def test_a_list_has_the_sources_tokens_the_end_and_all_that_the_request_asks_for(made: Path) -> None:
    checkpoint = load(made)
    tokens = checkpoint.tokenizer.encode("zebra")
    found = allowed(
        checkpoint, request(target_prefix="zebra", decoding=replace(GREEDY, logit_bias=((7, 1.0), (200, -1.0))))
    )
    assert found is not None
    assert {*FEW, *tokens, 7, 200, checkpoint.config.end_id, *checkpoint.tokenizer.encode(TEXT)} <= found
    assert len(found) < checkpoint.config.vocab_size


def test_into_a_language_that_the_table_has_not_any_token_may_come(made: Path) -> None:
    pairs = [pair for pair in load(made).manifest.language_pairs if pair[1] != "en"]
    assert pairs
    asked = replace(request(), source_language=pairs[0][0], target_language=pairs[0][1])
    assert allowed(load(made), asked) is None


def test_a_model_that_is_not_told_to_has_no_lists(made: Path) -> None:
    task = Loaded.of("it", load(made), EngineOptions(slots=4, precision="float32")).task
    assert task.prepare(request())[0].specs[0].shortlist is None


def test_a_checkpoint_without_a_table_is_refused_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shortlist is true, but .* has no table .*`triptych shortlist` makes"):
        Loaded.of("it", checkpoints.translator(tmp_path), EngineOptions(shortlist=True))


def test_a_broken_table_is_refused_by_name(tmp_path: Path) -> None:
    checkpoint = checkpoints.translator(tmp_path)
    (tmp_path / SHORTLIST).write_text("nothing")
    write_manifest(tmp_path, checkpoint.manifest)
    with pytest.raises(CheckpointError, match=r"shortlist\.safetensors: not a shortlist's table"):
        load(tmp_path)


@pytest.mark.parametrize(
    "decoding",
    [GREEDY, replace(GREEDY, num_beams=3, num_return_sequences=3), replace(GREEDY, do_sample=True, seed=1)],
    ids=["greedy", "n-best", "sampled"],
)
async def test_whatever_the_search_an_answer_has_tokens_of_its_list_alone(
    engine: TextEngine, made: Path, decoding: Decoding
) -> None:
    checkpoint = load(made)
    asked = request("search", decoding)
    found = allowed(load(made), asked)
    answer = await engine.answer(asked)
    assert isinstance(answer, Completion), answer
    assert found is not None
    spelled = {checkpoint.tokenizer.decode([token]) for token in found}
    for text in (answer.text, *(other.text for other in answer.alternatives)):
        assert set(text) <= set("".join(spelled)) | {*TEXT, "\ufffd", " "}


async def test_a_stream_tells_the_listed_tokens_and_their_log_probabilities(engine: TextEngine, made: Path) -> None:
    asked = request("streamed", stream=True)
    found, told = allowed(load(made), asked), []
    async for events in engine.submit([asked]):
        told += [event for event in events if isinstance(event, Token)]
    assert told
    assert found is not None
    for event in told:
        assert event.logprob <= 0
        assert event.id in found


async def test_a_prefix_and_a_glossarys_terms_are_not_lost(engine: TextEngine) -> None:
    asked = request("glossary", target_prefix="zebra", glossary=(("fatigué", "quagga"),))
    answer = await engine.answer(asked)
    assert isinstance(answer, Completion), answer
    assert answer.text.startswith("zebra")
    assert "quagga" in answer.text
