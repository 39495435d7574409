"""The engine over a real tiny model: whatever happens around a request, it gets what it would get alone."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import Checkpoint
from models.interface import StateSize
from models.native.library import instruction_set
from models.parts import replace_linears
from models.precision import Precision, convert
from models.quantization import Int8Linear, int8_linear, vnni_supported
from service.engine.beams import Beams
from service.engine.engine import Engine
from service.engine.prefixes import PrefixStore
from service.engine.runner import Runner
from service.engine.scheduler import Scheduler
from service.engine.sequence import Sampling, Sequence, SequenceSpec
from tests import checkpoints
from tests.service.engine.driving import Recorder, arrive, finish


@pytest.fixture(
    scope="module",
    params=[
        f"{name}{way}"
        for way in ("", "-int8", "-kernels")
        for name in ("translator", "recurrent", "generator", "llama")
    ],
)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    name, _, precision = request.param.partition("-")
    if precision and not vnni_supported():
        pytest.skip("this CPU has no VNNI instructions")
    if precision == "kernels" and instruction_set() is None:
        pytest.skip("there are no kernels for this CPU, or none were built")
    made: Checkpoint = getattr(checkpoints, name)(tmp_path_factory.mktemp(request.param))
    if precision:
        replace_linears(made.model, int8_linear if precision == "kernels" else Int8Linear)
    return made


def engine_for(
    checkpoint: Checkpoint, slots: int = 4, prefill_tokens: int = 64, prefix_slots: int = 0
) -> tuple[Engine, Recorder]:
    can, recorder = checkpoint.config.capabilities, Recorder()
    state = checkpoint.model.new_state(StateSize(slots=slots + prefix_slots, length=63, source_length=48))
    runner = Runner(checkpoint.model, state, device=torch.device("cpu"))
    scheduler = Scheduler(
        slots=slots,
        prefill_tokens=prefill_tokens,
        chunked=can.prompt_in_pieces,
        prefixes=PrefixStore(range(slots, slots + prefix_slots)) if can.prefix_reuse else None,
        packed=runner.packed,
    )
    return Engine(runner, scheduler, recorder), recorder


def sequence(name: int, greedy: bool = True, max_new_tokens: int | None = None, **fields: Any) -> Sequence:
    """Prompt, length and sampling follow from the name, unless `fields` say otherwise."""
    chance = random.Random(name)
    prompt = [chance.randrange(7, 260) for _ in range(chance.randrange(1, 30))]
    return Sequence(
        SequenceSpec(
            id=str(name),
            max_new_tokens=max_new_tokens or chance.randrange(1, 30),
            **{
                "prompt": prompt,
                "end_id": 2,
                "sampling": Sampling() if greedy else Sampling(do_sample=True, temperature=1.2, top_p=0.95, seed=name),
                **fields,
            },
        )
    )


def alone(checkpoint: Checkpoint, name: int, greedy: bool = True) -> list[int]:
    engine, _ = engine_for(checkpoint)
    one = sequence(name, greedy)
    engine.add(one)
    finish(engine)
    return one.output


@pytest.mark.parametrize("greedy", [True, False], ids=["greedy", "sampled"])
def test_every_request_gets_what_it_gets_alone(checkpoint: Checkpoint, greedy: bool) -> None:
    engine, _ = engine_for(checkpoint, slots=5)
    sequences = [sequence(name, greedy) for name in range(24)]
    outputs = arrive(engine, sequences, together=3)
    assert {s.spec.id: s.output for s in sequences} == {str(n): alone(checkpoint, n, greedy) for n in range(24)}
    assert sorted(o.sequence.spec.id for o in outputs if o.last) == sorted(s.spec.id for s in sequences)


@pytest.mark.skipif(instruction_set() is None, reason="there are no kernels for this CPU, or none were built")
@pytest.mark.parametrize("precision", ["int8", "bfloat16", "float32"])
@pytest.mark.parametrize("name", ["translator", "generator", "llama"])
def test_with_kernels_a_requests_numbers_are_those_it_gets_alone_to_the_bit(
    name: str, precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks, beside beams and in any slot: nothing is padded, and nothing shared."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # AMX would leave bfloat16 to PyTorch
    made: Checkpoint = getattr(checkpoints, name)(tmp_path)
    convert(made.model, precision, torch.device("cpu"))

    def asked(number: int) -> Sequence:
        beams = Beams(width=3, results=2) if number % 3 == 0 else None
        return sequence(number, want_logprobs=True, top_n_tokens=0 if beams else 4, beams=beams)

    def numbers(engine: Engine, several: list[Sequence]) -> dict[str, Any]:
        told: dict[str, Any] = {each.spec.id: [] for each in several}
        for output in arrive(engine, several, together=3):
            told[output.sequence.spec.id].append((output.token, output.details.logprob, output.details.best))
        return {each.spec.id: (told[each.spec.id], each.logprob, each.hypotheses) for each in several}

    together = numbers(engine_for(made, slots=7, prefill_tokens=16)[0], [asked(number) for number in range(18)])
    for number in range(18):
        alone = numbers(engine_for(made, prefill_tokens=1000)[0], [asked(number)])
        assert together[str(number)] == alone[str(number)]


def test_greedy_decoding_equals_recomputing_the_prefix_each_time(checkpoint: Checkpoint) -> None:
    from models.interface import Prompts
    from tests.models.tiny import teacher_forced

    got, prompt = alone(checkpoint, 3), sequence(3).spec.prompt
    prompts = Prompts(tokens_BS=torch.tensor([prompt]), lengths_B=torch.tensor([len(prompt)]))
    expected: list[int] = []
    with torch.inference_mode():
        while len(expected) < len(got):
            expected.append(int(teacher_forced(checkpoint.model, prompts, expected)[-1].argmax()))
    assert got == expected


def test_a_sequence_ends_at_its_length_or_at_the_end_token(checkpoint: Checkpoint) -> None:
    engine, _ = engine_for(checkpoint)
    length = sequence(1, max_new_tokens=6)
    end = sequence(2, max_new_tokens=6, end_id=alone(checkpoint, 2)[0])
    engine.add(length)
    engine.add(end)
    finish(engine)
    assert (length.outcome, len(length.output)) == ("length", 6)
    assert (end.outcome, len(end.output)) == ("eos_token", 1)


def test_a_sequence_ends_at_once_where_its_watch_says_so(checkpoint: Checkpoint) -> None:
    engine, recorder = engine_for(checkpoint)
    expected = alone(checkpoint, 5)
    asked: list[int] = []
    watched = sequence(5, watch=lambda token: bool(asked.append(token)) or len(asked) == 3)
    other = sequence(6)
    engine.add(watched)
    engine.add(other)
    finish(engine)
    assert len(expected) > 3
    assert (watched.outcome, watched.output, asked) == ("stop_sequence", expected[:3], expected[:3])
    assert other.output == alone(checkpoint, 6)
    decoded = sum(step.decode_requests for step in recorder.steps)
    assert decoded == len(watched.output) - 1 + len(other.output) - 1, "no step is spent on it afterwards"


def test_whatever_a_request_asks_for_it_gets_what_it_gets_alone(checkpoint: Checkpoint) -> None:
    def fancy(name: int) -> Sequence:
        made, chance = sequence(name, max_new_tokens=12), random.Random(name)
        temperature = chance.choice([0.0, 0.8, 1.5])
        sampling = Sampling(
            do_sample=temperature > 0,
            temperature=temperature,
            top_k=chance.choice([None, 40]),
            top_p=chance.choice([None, 0.9]),
            min_p=chance.choice([None, 0.01]),
            typical_p=chance.choice([None, 0.9]),
            repetition_penalty=chance.choice([1.0, 1.4]),
            penalize_prompt=chance.choice([True, False]),
            frequency_penalty=chance.choice([0.0, 0.7]),
            logit_bias=chance.choice([(), ((9, 3.0), (2, 5.0))]),
            seed=name,
        )
        return Sequence(SequenceSpec(
            id=made.spec.id, prompt=made.spec.prompt, max_new_tokens=12, min_new_tokens=chance.choice([0, 6]), end_id=2,
            sampling=sampling,
        ))  # fmt: skip

    together = [fancy(name) for name in range(16)]
    engine, _ = engine_for(checkpoint, slots=5)
    for each in together:
        engine.add(each)
    finish(engine)
    for name, each in enumerate(together):
        single, (own, _) = fancy(name), engine_for(checkpoint)
        own.add(single)
        finish(own)
        assert each.output == single.output
        assert len(each.output) >= each.spec.min_new_tokens


def test_cancelling_one_leaves_the_others_as_they_were(checkpoint: Checkpoint) -> None:
    engine, recorder = engine_for(checkpoint, slots=3)
    sequences = [sequence(name, max_new_tokens=20) for name in range(3)]
    expected = []
    for each in sequences:
        engine_alone, _ = engine_for(checkpoint)
        copy = sequence(int(each.spec.id), max_new_tokens=20)
        engine_alone.add(copy)
        finish(engine_alone)
        expected.append(copy.output)
        engine.add(each)
    outputs = engine.step() + engine.step()
    sequences[0].cancelled_at = time.monotonic()
    outputs += finish(engine)
    assert [s.output for s in sequences[1:]] == expected[1:]
    assert (sequences[0].outcome, len(sequences[0].output)) == ("cancelled", 2)
    assert [o.sequence.spec.id for o in outputs if o.last].count("0") == 1
    assert sum(s.abandoned_tokens for s in recorder.steps) == 0


def test_steps_are_counted_as_they_were(checkpoint: Checkpoint) -> None:
    engine, recorder = engine_for(checkpoint, slots=2)
    sequences = [sequence(name, max_new_tokens=4, end_id=None) for name in range(3)]
    arrive(engine, sequences, together=3)
    prompts = [len(each.spec.prompt) for each in sequences]
    first, last = recorder.steps[0], recorder.steps[-1]
    assert (first.prefill_requests, first.decode_requests, first.running, first.waiting) == (2, 0, 2, 1)
    padded = prompts[0] + prompts[1] if engine.runner.packed else 2 * max(prompts[:2])
    assert (first.prefill_tokens, first.padded_tokens) == (prompts[0] + prompts[1], padded)
    can = checkpoint.config.capabilities
    held = [can.prefilled(prompt, 0) if can.grows else 0 for prompt in prompts]
    assert (first.kv_used_tokens, first.kv_total_tokens) == (held[0] + held[1], 2 * 63 if can.grows else 0)
    assert sum(step.prefill_tokens for step in recorder.steps) == sum(prompts)
    assert sum(step.decode_requests for step in recorder.steps) == 3 * 3, "the first token of each comes of its prompt"
    assert max(step.slots_used for step in recorder.steps) == 2
    assert (last.running, last.waiting, last.slots_used, last.kv_used_tokens) == (0, 0, 0, 0)


def test_one_that_is_not_streamed_is_told_of_at_its_end_alone(checkpoint: Checkpoint) -> None:
    engine, _ = engine_for(checkpoint)
    streamed, whole = (
        sequence(4, max_new_tokens=6, end_id=None, streamed=each, want_logprobs=True) for each in (True, False)
    )
    outputs = arrive(engine, [streamed, whole], together=2)
    assert [output.last for output in outputs if output.sequence is streamed] == [False] * 5 + [True]
    (end,) = [output for output in outputs if output.sequence is whole]
    assert (end.last, end.index, end.token, whole.outcome) == (True, 5, whole.output[-1], "length")
    assert (whole.output, whole.logprob) == (streamed.output, streamed.logprob)


def test_after_a_failed_step_everyone_is_told_and_the_engine_goes_on(checkpoint: Checkpoint) -> None:
    engine, _ = engine_for(checkpoint, slots=1)
    running, waiting = sequence(1, max_new_tokens=9), sequence(2, max_new_tokens=9)
    engine.add(running)
    engine.add(waiting)
    engine.step()
    outputs = engine.abort("the device is gone")
    assert sorted((o.sequence.spec.id, o.last, o.error) for o in outputs) == [
        ("1", True, "the device is gone"),
        ("2", True, "the device is gone"),
    ]
    assert [running.outcome, waiting.outcome] == ["error", "error"]
    again = sequence(3)
    engine.add(again)
    finish(engine)
    assert again.output == alone(checkpoint, 3)


@pytest.fixture(scope="module", params=["generator", "llama"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    made: Checkpoint = getattr(checkpoints, request.param)(tmp_path_factory.mktemp(request.param))
    return made


def test_a_long_prompt_is_read_in_chunks_while_the_others_go_on(generator: Checkpoint) -> None:
    engine, recorder = engine_for(generator, prefill_tokens=16)
    stream = sequence(1, max_new_tokens=20)
    long = sequence(2, max_new_tokens=5, prompt=[7 + token % 200 for token in range(50)])
    copy = Sequence(SequenceSpec(id="alone", prompt=long.spec.prompt, max_new_tokens=5, end_id=2))
    engine.add(stream)
    engine.step()
    while stream.read < len(stream.spec.prompt):
        engine.step()
    engine.add(long)
    for _ in range(4):
        before = len(stream.output)
        engine.step()
        assert len(stream.output) == before + 1, "a stream gets its token in every step"
    assert [s.prefill_tokens for s in recorder.steps[-4:]] == [16, 16, 16, 2]
    finish(engine)
    own, _ = engine_for(generator, prefill_tokens=64)
    own.add(copy)
    finish(own)
    assert long.output == copy.output
    undisturbed, _ = engine_for(generator)
    same = sequence(1, max_new_tokens=20)
    undisturbed.add(same)
    finish(undisturbed)
    assert stream.output == same.output


def test_prompts_read_in_chunks_give_everyone_what_they_get_alone(generator: Checkpoint) -> None:
    engine, _ = engine_for(generator, slots=5, prefill_tokens=7)
    sequences = [sequence(name) for name in range(16)]
    for each in sequences:
        engine.add(each)
    finish(engine)
    assert {s.spec.id: s.output for s in sequences} == {str(n): alone(generator, n) for n in range(16)}


def test_a_prefix_that_was_read_before_is_not_read_again(generator: Checkpoint) -> None:
    engine, recorder = engine_for(generator, slots=3, prefix_slots=2)
    chance = random.Random(0)
    shared = [chance.randrange(7, 260) for _ in range(24)]
    prompts = [shared + [chance.randrange(7, 260) for _ in range(1 + n % 3)] for n in range(9)]
    asked = [
        Sequence(
            SequenceSpec(
                id=str(n), prompt=prompt, max_new_tokens=6, end_id=2, beams=Beams(width=2) if n % 4 == 3 else None
            )
        )
        for n, prompt in enumerate(prompts)
    ]
    engine.add(asked[0])
    finish(engine)
    for each in asked[1:]:
        engine.add(each)
    finish(engine)
    for each in asked:
        own, _ = engine_for(generator)
        copy = Sequence(SequenceSpec(id="", prompt=each.spec.prompt, max_new_tokens=6, end_id=2, beams=each.spec.beams))
        own.add(copy)
        finish(own)
        assert each.output == copy.output
    assert sum(s.prefix_query_tokens for s in recorder.steps) == sum(map(len, prompts))
    assert sum(s.prefix_hit_tokens for s in recorder.steps) >= 8 * 24
    assert sum(s.prefill_tokens for s in recorder.steps) == sum(
        s.prefix_query_tokens - s.prefix_hit_tokens for s in recorder.steps
    )


def test_a_conversation_goes_on_from_its_own_last_answer(generator: Checkpoint) -> None:
    engine, recorder = engine_for(generator, slots=1, prefix_slots=1)
    first = sequence(4, max_new_tokens=10, prompt=[9] * 18, end_id=None)
    engine.add(first)
    finish(engine)
    second = Sequence(SequenceSpec(id="second", prompt=[*first.spec.prompt, *first.output, 11, 12], max_new_tokens=5))
    engine.add(second)
    engine.step()
    assert recorder.steps[-1].prefix_hit_tokens == 18 + 9, "the last output was never fed"
    finish(engine)
    own, _ = engine_for(generator)
    copy = Sequence(SequenceSpec(id="", prompt=second.spec.prompt, max_new_tokens=5))
    own.add(copy)
    finish(own)
    assert second.output == copy.output
