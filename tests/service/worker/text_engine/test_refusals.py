"""What an engine does not serve, and says why."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest

from service.messages import ClassifyRequest, Decoding, Failure, GenerateRequest, Request, TranslateRequest
from service.options import EngineOptions
from service.worker.text_engine import TextEngine
from tests import checkpoints
from tests.service.worker.text_engine.conftest import events_of, translate


def test_a_pre_trained_encoder_has_no_labels_to_serve(tmp_path: Path) -> None:
    made = checkpoints.classifier(tmp_path / "encoder")
    encoder = dataclasses.replace(made, manifest=dataclasses.replace(made.manifest, task="pretrain"))
    with pytest.raises(ValueError, match="classifier@1 is a pre-trained encoder: fine-tune"):
        TextEngine("encoder", encoder, EngineOptions(slots=4), task="classify")


@pytest.mark.parametrize(
    ("decoding", "message"),
    [
        ({"repetition_penalty": 0}, "repetition_penalty is 0, expected 0.01 to 100"),
        ({"presence_penalty": -2.5}, "presence_penalty is -2.5, expected -2 to 2"),
        ({"frequency_penalty": float("nan")}, "frequency_penalty is nan, expected -2 to 2"),
        ({"logit_bias": ((99999, 1.0),)}, r"a token id in logit_bias is 99999, expected 0 to \d+"),
        ({"logit_bias": ((5, 101.0),)}, r"logit_bias\[5\] is 101.0, expected -100 to 100"),
        ({"logit_bias": ((5, 1.0),) * 1025}, "the length of logit_bias is 1025, expected 0 to 1024"),
        ({"do_sample": True, "top_k": 0}, "top_k is 0, expected 1 to 2147483647"),
        ({"do_sample": True, "top_p": 1.5}, "top_p is 1.5, expected more than 0 and at most 1"),
        ({"do_sample": True, "min_p": -0.1}, "min_p is -0.1, expected 0 to 1"),
        ({"do_sample": True, "typical_p": 0}, "typical_p is 0, expected more than 0 and at most 1"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens is 9, expected 0 to 8"),
        ({"stop": ("",)}, r"the length of stop\[0\] is 0, expected 1 to 256"),
        ({"stop": ("a",) * 17}, "the length of stop is 17, expected 0 to 16"),
        ({"top_n_tokens": 21}, "top_n_tokens is 21, expected 0 to 20"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0, expected at least 1"),
        ({"num_beams": 0}, "num_beams is 0, expected 1 to 16"),
        ({"num_return_sequences": 17, "do_sample": True}, "num_return_sequences is 17, expected 1 to 16"),
        ({"length_penalty": 11}, "length_penalty is 11, expected -10 to 10"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is -1, expected 0 to 2147483647"),
    ],
)
async def test_decoding_outside_the_limits_is_refused_with_value_and_limit(
    engines: dict[str, TextEngine], decoding: dict, message: str
) -> None:
    failure = await engines["generator"].answer(GenerateRequest(id="d", text="x", decoding=Decoding(**decoding)))
    assert isinstance(failure, Failure)
    assert failure.code == "invalid_request"
    assert re.search(message, failure.message), failure.message
    assert "limit" in failure.details


@pytest.mark.parametrize(
    ("engine", "request_", "code", "message"),
    [
        ("translator", translate("r1", text="  "), "empty_input", "empty"),
        ("translator", translate("r2", text="e" * 500, split="none"), "input_too_long", r"\d+ tokens, the limit is 48"),
        (
            "translator",
            TranslateRequest(id="r3", text="x", source_language="en", target_language="ko"),
            "unknown_language_pair",
            "en-ko; available: fr-en, en-fr, ko-en",
        ),
        (
            "generator",
            GenerateRequest(id="r5", text="x", decoding=Decoding(max_new_tokens=63)),
            "invalid_request",
            "max_new_tokens is 63, the limit after a prompt of 2 tokens is 62",
        ),
        (
            "generator",
            GenerateRequest(id="r6", text="x", decoding=Decoding(do_sample=True, temperature=0)),
            "invalid_request",
            "temperature is 0",
        ),
        (
            "translator",
            translate("r9", min_length_ratio=-1),
            "invalid_request",
            "min_length_ratio is -1, expected 0 to 100",
        ),
        ("translator", translate("r10", max_length_ratio=math.nan), "invalid_request", "max_length_ratio is nan"),
        ("translator", translate("r11", max_length_ratio=101), "invalid_request", "more than 0 and at most 100"),
        ("classifier", ClassifyRequest(id="r12", text="x", top_k=0), "invalid_request", "top_k is 0"),
        ("classifier", translate("r7"), "invalid_request", "classifier answers classify"),
        ("translator", translate("r8", deadline=1.0), "deadline_exceeded", "deadline"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else "",
)
async def test_what_cannot_be_served_is_refused_with_value_and_limit(
    engines: dict[str, TextEngine], engine: str, request_: Request, code: str, message: str
) -> None:
    failure = await engines[engine].answer(request_)
    assert isinstance(failure, Failure)
    assert failure.code == code
    assert re.search(message, failure.message), failure.message


async def test_a_full_engine_refuses_with_a_time_to_come_back(tmp_path: Path) -> None:
    engine = TextEngine("generator", checkpoints.generator(tmp_path), EngineOptions(slots=1, max_waiting=2))
    try:
        requests = [GenerateRequest(id=str(n), text="x") for n in range(6)]
        events = await events_of(engine, *requests)
        refused = [e for es in events.values() for e in es if isinstance(e, Failure)]
        assert [failure.code for failure in refused] == ["overloaded"] * 3
        assert "limit is 2" in refused[0].message
        assert refused[0].details["retry_after_s"] > 0
    finally:
        engine.close()
