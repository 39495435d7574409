"""Beams, samples, prefixes and length ratios, asked of a whole engine."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.precision import Precision
from models.quantization import int8_supported
from service.messages import Accepted, Completion, Decoding, Failure, GenerateRequest, Token, TranslateRequest
from service.options import EngineOptions
from service.worker.text_engine import TextEngine
from tests import checkpoints

IDS = map(str, itertools.count())
SAMPLED = Decoding(max_new_tokens=12, do_sample=True, seed=5, temperature=1.5)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TextEngine]]:
    root: Path = tmp_path_factory.mktemp("engines")
    options = EngineOptions(slots=4, precision="float32")
    made = {
        make.__name__: TextEngine(make.__name__, make(root / make.__name__), options)
        for make in (checkpoints.translator, checkpoints.recurrent, checkpoints.generator)
    }
    yield made
    for engine in made.values():
        engine.close()


@pytest.fixture(params=["translator", "recurrent"])
def translator(request: pytest.FixtureRequest, engines: dict[str, TextEngine]) -> TextEngine:
    """Of either kind."""
    return engines[request.param]


async def translated(engine: TextEngine, decoding: Decoding | None = None, **fields: object) -> Completion:
    request = TranslateRequest(
        id=next(IDS),
        source_language="fr",
        target_language="en",
        decoding=decoding or Decoding(max_new_tokens=12),
        **{"text": "Je suis fatigué.", **fields},
    )
    answer = await engine.answer(request)
    assert isinstance(answer, Completion), answer
    return answer


async def generated(engine: TextEngine, decoding: Decoding) -> Completion:
    answer = await engine.answer(GenerateRequest(id=next(IDS), text="배우", decoding=decoding))
    assert isinstance(answer, Completion), answer
    return answer


async def test_each_sample_is_what_its_seed_gives_alone(engines: dict[str, TextEngine]) -> None:
    engine = engines["generator"]
    together = await generated(engine, replace(SAMPLED, num_return_sequences=6))  # more than there are slots
    alone = [await generated(engine, replace(SAMPLED, seed=5 + number)) for number in range(6)]
    assert [together.text, *(other.text for other in together.alternatives)] == [one.text for one in alone]
    assert [together.seed, *(other.seed for other in together.alternatives)] == [5, 6, 7, 8, 9, 10]
    assert len({one.text for one in alone}) > 1
    assert all(one.score is None and not one.alternatives for one in alone)


async def test_a_samples_score_is_its_mean_log_probability(engines: dict[str, TextEngine]) -> None:
    engine = engines["generator"]
    asked = replace(SAMPLED, num_return_sequences=2)
    whole = await generated(engine, asked)
    logprobs: list[float] = []
    async for events in engine.submit([GenerateRequest(id="s", text="배우", decoding=asked, stream=True)]):
        logprobs += [event.logprob for event in events if isinstance(event, Token)]
    assert len(logprobs) == whole.generated_tokens
    assert whole.score == pytest.approx(sum(logprobs) / len(logprobs), abs=1e-5)


@pytest.mark.parametrize("decoding", [Decoding(max_new_tokens=12), SAMPLED], ids=["greedy", "sampled"])
async def test_confidence_is_the_mean_log_probability_of_what_a_stream_tells(
    translator: TextEngine, decoding: Decoding
) -> None:
    answer = await translated(translator, decoding, confidence=True)
    request = TranslateRequest(
        id=next(IDS),
        text="Je suis fatigué.",
        source_language="fr",
        target_language="en",
        decoding=decoding,
        stream=True,
        confidence=True,
    )
    events = [event for batch in [batch async for batch in translator.submit([request])] for event in batch]
    logprobs = [event.logprob for event in events if isinstance(event, Token)]
    assert answer.confidence is not None
    assert answer.confidence.logprob == pytest.approx(sum(logprobs) / len(logprobs), abs=1e-5)
    assert answer.confidence.value == pytest.approx(math.exp(answer.confidence.logprob))
    assert not answer.confidence.calibrated
    assert isinstance(events[-1], Completion)
    assert events[-1].confidence == answer.confidence
    assert (await translated(translator, decoding)).confidence is None


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
async def test_the_confidence_of_a_beam_search_is_that_of_its_tokens_whatever_the_length_penalty(
    engines: dict[str, TextEngine], length_penalty: float
) -> None:
    beams = Decoding(max_new_tokens=12, num_beams=4, num_return_sequences=2, length_penalty=length_penalty)
    answer = await translated(engines["translator"], beams, confidence=True)
    assert answer.confidence is not None
    assert answer.score is not None
    total = answer.confidence.logprob * answer.generated_tokens
    assert answer.score == pytest.approx(total / answer.generated_tokens**length_penalty)


async def test_the_confidence_of_a_text_is_the_mean_of_its_sentences_by_their_tokens(
    engines: dict[str, TextEngine],
) -> None:
    alone = [
        await translated(engines["translator"], confidence=True, text=text) for text in ("Je suis là.", "Il dort.")
    ]
    whole = await translated(engines["translator"], confidence=True, text="Je suis là. Il dort.")
    assert whole.confidence is not None
    told = [each.confidence for each in whole.sentences if each.confidence is not None]
    of_each = [each.confidence.logprob for each in alone if each.confidence is not None]
    assert [each.logprob for each in told] == pytest.approx(of_each, abs=1e-5)
    total = sum(each.logprob * one.generated_tokens for each, one in zip(told, alone, strict=True))
    assert whole.confidence.logprob == pytest.approx(total / whole.generated_tokens)


async def test_confidence_is_calibrated_where_the_scores_of_the_checkpoint_have_a_curve(tmp_path: Path) -> None:
    made = checkpoints.translator(tmp_path)
    curve = {"direction": "fr-en", "points": [[-9.0, 0.25], [0.0, 0.25]]}
    scores = {"test fr-en": {"bleu": 50.0, "confidence": curve}}
    measured = replace(made, manifest=replace(made.manifest, scores=scores))
    engine = TextEngine("translator", measured, EngineOptions(slots=4, precision="float32"))
    try:
        answer = await translated(engine, confidence=True)
    finally:
        engine.close()
    assert answer.confidence is not None
    assert (answer.confidence.value, answer.confidence.calibrated) == (0.25, True)


async def test_a_checkpoint_with_a_broken_curve_is_not_loaded(tmp_path: Path) -> None:
    made = checkpoints.translator(tmp_path)
    scores = {"test fr-en": {"confidence": {"direction": "fr-en", "points": [[0.0, 0.5], [-1.0, 0.2]]}}}
    broken = replace(made, manifest=replace(made.manifest, scores=scores))
    with pytest.raises(ValueError, match="confidence curve"):
        TextEngine("translator", broken, EngineOptions(slots=4, precision="float32"))


async def test_the_best_beams_come_in_the_order_of_their_scores(
    engines: dict[str, TextEngine], translator: TextEngine
) -> None:
    asked = Decoding(max_new_tokens=8, num_beams=4, num_return_sequences=3)
    for answer in (await translated(translator, asked), await generated(engines["generator"], asked)):
        scores = [answer.score, *(other.score for other in answer.alternatives)]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert all(other.seed is None for other in answer.alternatives)
        assert answer.timing.inference_ms > 0


async def test_a_beam_search_tells_a_sentence_at_its_end_and_answers_the_same(engines: dict[str, TextEngine]) -> None:
    beams = Decoding(max_new_tokens=8, num_beams=2)
    request = TranslateRequest(
        id=next(IDS), text="Je suis fatigué.", source_language="fr", target_language="en", decoding=beams, stream=True
    )
    accepted, token, streamed = [event async for batch in engines["translator"].submit([request]) for event in batch]
    assert isinstance(accepted, Accepted)
    assert isinstance(token, Token)
    assert isinstance(streamed, Completion)
    answer = await translated(engines["translator"], beams)
    assert (answer.text, answer.score) == (streamed.text, None) == (token.text, None)
    assert token.logprob < 0


async def test_a_beam_search_of_a_generator_tells_no_token(engines: dict[str, TextEngine]) -> None:
    beams = Decoding(max_new_tokens=8, num_beams=2)
    request = GenerateRequest(id=next(IDS), text="배우", decoding=beams, stream=True)
    accepted, streamed = [event async for batch in engines["generator"].submit([request]) for event in batch]
    assert isinstance(accepted, Accepted)
    assert isinstance(streamed, Completion)
    assert streamed.text == (await generated(engines["generator"], beams)).text


async def test_a_beam_search_alone_and_in_company_gives_the_same(translator: TextEngine) -> None:
    engine = translator
    beams = Decoding(max_new_tokens=8, num_beams=2, num_return_sequences=2)
    alone = await translated(engine, beams)
    company = [translated(engine, beams, priority=number % 3) for number in range(4)]
    greedy = [translated(engine, priority=-number) for number in range(4)]
    together = await asyncio.gather(*company, *greedy)
    for answer in together[:4]:
        assert (answer.text, answer.score) == (alone.text, pytest.approx(alone.score, abs=1e-5))


@pytest.mark.parametrize(
    ("precision", "most"),
    [
        ("float32", 1e-4),
        pytest.param(
            "int8", 0.1, marks=pytest.mark.skipif(not int8_supported(torch.device("cpu")), reason="the CPU has no VNNI")
        ),
    ],
)
async def test_company_may_move_log_probabilities_by_rounding_but_no_greedy_text(
    tmp_path: Path, precision: Precision, most: float
) -> None:
    engine = TextEngine("translator", checkpoints.translator(tmp_path), EngineOptions(slots=8, precision=precision))

    async def streamed(decoding: Decoding) -> tuple[str, list[float]]:
        request = TranslateRequest(
            id=next(IDS), text="Je suis fatigué.", source_language="fr", target_language="en", decoding=decoding,
            stream=True,
        )  # fmt: skip
        events = [event async for batch in engine.submit([request]) for event in batch]
        assert isinstance(events[-1], Completion)
        return events[-1].text, [event.logprob for event in events if isinstance(event, Token)]

    async def company(number: int) -> None:
        for beams in itertools.islice(itertools.cycle((1, 4, 2)), number, number + 6):
            await translated(engine, Decoding(max_new_tokens=4 + number, num_beams=beams), target_prefix="I " * number)

    try:
        asked = [Decoding(max_new_tokens=12)]
        if precision == "float32":  # the same number falls on the same token
            asked += [replace(SAMPLED, seed=seed) for seed in range(8)]
        alone = [await streamed(decoding) for decoding in asked]
        *others, _, _, _ = await asyncio.gather(*map(streamed, asked), *map(company, range(3)))
        for (text, logprobs), (same, moved) in zip(alone, others, strict=True):
            assert same == text
            assert moved == pytest.approx(logprobs, abs=most)
    finally:
        engine.close()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("kind", ["llama", "recurrent"])
async def test_a_llama_and_a_recurrent_translator_answer_as_any_model_does_in_every_number_format(
    tmp_path: Path, kind: str, precision: Precision
) -> None:
    if precision == "int8" and not int8_supported(torch.device("cpu")):
        pytest.skip("the CPU has no VNNI")
    ask: Callable[[TextEngine, Decoding], Awaitable[Completion]]
    if kind == "llama":
        made, ask = checkpoints.llama(tmp_path), generated
    else:
        made, ask = checkpoints.recurrent(tmp_path, cell="lstm", attention="general", decoder_layers=2), translated
    engine = TextEngine(kind, made, EngineOptions(slots=8, prefill_tokens=16, precision=precision))
    asked = [
        Decoding(max_new_tokens=8),
        replace(SAMPLED, num_return_sequences=2),
        Decoding(max_new_tokens=8, num_beams=3, num_return_sequences=2),
    ]
    try:
        assert (engine.info.architecture, engine.info.precision) == (kind, precision)
        alone = [await ask(engine, decoding) for decoding in asked]
        together = await asyncio.gather(*(ask(engine, decoding) for decoding in asked * 2))
    finally:
        engine.close()
    assert [len(answer.alternatives) for answer in together] == [0, 1, 1] * 2
    assert all(answer.generated_tokens and answer.text for answer in together)
    if precision != "bfloat16":  # in which rounding decides between two tokens now and then
        assert [answer.text for answer in together] == [answer.text for answer in alone] * 2


async def test_a_translation_begins_with_its_prefix_and_streams_to_the_same(translator: TextEngine) -> None:
    engine = translator
    for decoding in (None, Decoding(max_new_tokens=8, num_beams=3)):
        answer = await translated(engine, decoding, target_prefix="I am")
        assert answer.text.startswith("I am")
        assert answer.text != "I am"
    whole = await translated(engine, target_prefix="I am")
    request = TranslateRequest(
        id=next(IDS), text="Je suis fatigué.", source_language="fr", target_language="en", target_prefix="I am",
        decoding=Decoding(max_new_tokens=12), stream=True,
    )  # fmt: skip
    events = [event async for batch in engine.submit([request]) for event in batch]
    assert "".join(event.text for event in events if isinstance(event, Token)) == whole.text


@pytest.mark.parametrize("decoding", [Decoding(max_new_tokens=6), Decoding(max_new_tokens=6, num_beams=3)])
async def test_an_alignment_has_a_row_for_each_token_after_the_prefix(
    translator: TextEngine, decoding: Decoding
) -> None:
    rows = []
    several = translator.info.architecture == "seq2seq"
    for layer in (0, 1, None) if several else (0, None):
        answer = await translated(
            translator, decoding, target_prefix="I am", return_alignment=True, alignment_layer=layer
        )
        assert answer.alignment is not None
        assert "".join(answer.alignment.source_tokens) == "Je suis fatigué."
        assert "I am" + "".join(answer.alignment.target_tokens) == answer.text
        assert len(answer.alignment.weights) == len(answer.alignment.target_tokens) > 0
        assert {len(row) for row in answer.alignment.weights} == {len(answer.alignment.source_tokens)}
        assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in answer.alignment.weights)
        rows.append(answer.alignment.weights)
    assert rows[-1] == rows[-2]
    assert not several or rows[0] != rows[1]


async def test_a_fixed_context_cannot_be_asked_for_an_alignment_and_one_layer_only_for_its_own(
    engines: dict[str, TextEngine], tmp_path: Path
) -> None:
    fixed = TextEngine("fixed", checkpoints.recurrent(tmp_path, attention="none"), EngineOptions(slots=2))
    request = TranslateRequest(
        id="a", text="Je suis fatigué.", source_language="fr", target_language="en", return_alignment=True
    )
    try:
        refused = [
            await fixed.answer(request),
            await engines["recurrent"].answer(replace(request, alignment_layer=1)),
        ]
        assert (await translated(fixed)).generated_tokens > 0
    finally:
        fixed.close()
    assert [answer.code for answer in refused if isinstance(answer, Failure)] == ["invalid_request"] * 2
    assert "this model's decoder does not attend to the source" in refused[0].message
    assert "alignment_layer is 1" in refused[1].message


async def test_length_ratios_hold_the_translation_between_them(engines: dict[str, TextEngine]) -> None:
    engine = engines["translator"]
    source = (await translated(engine)).prompt_tokens - 2  # without tag and end token
    end_bias = Decoding(logit_bias=((2, 100.0),))  # it would end at once
    longer = await translated(engine, end_bias, min_length_ratio=0.5)
    assert longer.generated_tokens == -(-source // 2) + 1  # the end token
    shorter = await translated(engine, Decoding(logit_bias=((2, -100.0),)), max_length_ratio=0.5)
    assert (shorter.generated_tokens, shorter.finish_reason) == (source // 2, "length")


async def test_no_ngram_comes_twice_even_where_the_best_tokens_do(engines: dict[str, TextEngine]) -> None:
    loop = Decoding(max_new_tokens=12, logit_bias=((270, 50.0), (271, 49.0), (2, -100.0)), no_repeat_ngram_size=2)
    tokens: list[int] = []
    async for events in engines["generator"].submit(
        [GenerateRequest(id="loop", text="배우", decoding=loop, stream=True)]
    ):
        tokens += [event.id for event in events if isinstance(event, Token)]
    pairs = list(itertools.pairwise(tokens))
    assert tokens[:2] == [270, 270]
    assert len(pairs) == len(set(pairs)) == 11


async def test_leaving_a_call_ends_all_of_its_samples(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path, context=4096), EngineOptions(slots=2))
    try:
        endless = replace(SAMPLED, max_new_tokens=4000, num_return_sequences=2, logit_bias=((2, -100.0),))
        stream = engine.submit([GenerateRequest(id="endless", text="x", stream=True, decoding=endless)])
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        short = GenerateRequest(id="short", text="x", decoding=Decoding(max_new_tokens=2, num_beams=2))
        assert isinstance(await asyncio.wait_for(engine.answer(short), timeout=5), Completion)
    finally:
        engine.close()


async def test_samples_wait_for_each_other_and_take_no_room_of_those_who_wait_for_a_slot(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path), EngineOptions(slots=1, max_waiting=1))
    try:
        asked = replace(SAMPLED, num_return_sequences=4)
        one, other = (GenerateRequest(id=name, text="x", decoding=asked) for name in ("one", "other"))
        answers = await asyncio.gather(engine.answer(one), engine.answer(other))
        assert [len(answer.alternatives) for answer in answers if isinstance(answer, Completion)] == [3, 3]
    finally:
        engine.close()
