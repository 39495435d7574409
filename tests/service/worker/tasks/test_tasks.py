"""The tasks that are served, as the worker knows them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, get_args

import pytest

from models import formats
from service.engine.stats import ANSWERED
from service.errors import InputTooLong
from service.messages import TASKS as REQUESTS
from service.messages import (
    Classification,
    ClassifyRequest,
    Failure,
    FinishReason,
    GenerateRequest,
    Request,
    Token,
    TranslateRequest,
)
from service.worker.tasks import TASKS, task_for
from service.worker.tasks.task import Limits
from tests import checkpoints

LIMITS = Limits(max_prompt_tokens=40, max_characters=400, max_new_tokens=20)


def test_the_worker_knows_every_task_that_there_are_requests_for() -> None:
    assert {name: task.REQUEST for name, task in TASKS.items()} == REQUESTS


def test_an_unknown_task_is_refused_by_name(tmp_path: Path) -> None:
    made = checkpoints.classifier(tmp_path)
    unknown = dataclasses.replace(made.manifest, name="it", version=3, task="rank")
    with pytest.raises(ValueError, match="it@3 is made to rank, served are translate, generate, classify"):
        task_for(unknown)


def test_a_checkpoint_is_served_for_what_it_was_made_for_and_nothing_else(tmp_path: Path) -> None:
    manifest = checkpoints.classifier(tmp_path).manifest
    for asked in (None, "classify"):
        assert task_for(manifest, asked) == ("classify", TASKS["classify"])
    with pytest.raises(ValueError, match="classifier@1 is made to classify, this model to generate"):
        task_for(manifest, "generate")
    with pytest.raises(ValueError, match="classifier@1 is a pre-trained encoder: fine-tune it with a recipe"):
        task_for(dataclasses.replace(manifest, task="pretrain"), "classify")


def test_an_answer_ends_for_one_of_the_reasons_that_clients_are_told() -> None:
    assert get_args(FinishReason) == ANSWERED


@pytest.mark.parametrize(
    ("request_", "texts"),
    [
        (
            TranslateRequest(id="t", text="a", source_language="fr", target_language="en", target_prefix="b"),
            {"the text": "a", "target_prefix": "b"},
        ),
        (GenerateRequest(id="g", text="a"), {"the text": "a"}),
        (ClassifyRequest(id="c", text="a"), {"the text": "a"}),
        (ClassifyRequest(id="c", text="a", text_pair="b"), {"the text": "a", "text_pair": "b"}),
    ],
    ids=["translate", "generate", "classify", "pair"],
)
def test_all_that_is_tokenized_counts_as_text(request_: Request, texts: dict[str, str], tmp_path: Path) -> None:
    for make in (checkpoints.translator, checkpoints.generator, checkpoints.classifier):
        task = checkpoints.task_of(make(tmp_path / make.__name__), LIMITS)
        if isinstance(request_, task.REQUEST):
            assert task.texts(request_) == texts
            return
    raise AssertionError(f"no task takes {request_}")


def test_what_is_no_number_shows_that_a_model_does_not_work() -> None:
    token = Token(request_id="c", index=1, id=7, text="x", logprob=math.nan)
    sound = dataclasses.replace(token, logprob=-0.5)
    for name in ("translate", "generate"):
        assert TASKS[name].flaw(token) == "the canary's token 1 has the log-probability nan"
        assert not TASKS[name].flaw(sound)
    scores = Classification(request_id="c", scores=(("a", math.inf), ("b", 0.0)), prompt_tokens=1)
    assert TASKS["classify"].flaw(scores) == "the canary's scores are {'a': inf, 'b': 0.0}"
    assert not TASKS["classify"].flaw(dataclasses.replace(scores, scores=(("a", 1.0), ("b", 0.0))))
    assert not TASKS["classify"].flaw(Failure(request_id="c", code="internal", message="no"))


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize(
    ("text", "pair"), [("a b c d e f g", None), ("a b c d e f g", "h i"), ("a b", "c d e f g h i")]
)
def test_a_text_or_pair_that_is_too_long_to_be_labelled_is_refused_or_cut_where_it_is_longer(
    tmp_path: Path, text: str, pair: str | None, direction: Any
) -> None:
    made = checkpoints.classifier(tmp_path)
    limits = dataclasses.replace(LIMITS, max_prompt_tokens=8)
    task = TASKS["classify"](made.tokenizer, made.config, made.manifest, limits)
    asked = ClassifyRequest(id="c", text=text, text_pair=pair, truncation_direction=direction)
    with pytest.raises(InputTooLong, match="tokens, the limit is 8"):
        task.prepare(asked)
    [part] = task.prepare(dataclasses.replace(asked, truncate=True))
    [spec] = part.specs
    assert len(spec.prompt) == len(spec.segments or []) == 8
    cls, sep = made.tokenizer.id("[CLS]"), made.tokenizer.id("[SEP]")
    assert (spec.prompt[0], spec.prompt[-1], spec.prompt.count(cls)) == (cls, sep, 1)
    whole, segments = formats.classification_prompt(made.tokenizer, text, pair)
    for segment in (0, 1):
        kept = [id for id, own in zip(spec.prompt, spec.segments or [], strict=True) if own == segment]
        given = [id for id, own in zip(whole, segments, strict=True) if own == segment]
        kept, given = ([id for id in ids if id not in (cls, sep)] for ids in (kept, given))
        assert kept == (given[: len(kept)] if direction == "right" else given[len(given) - len(kept) :])
        assert len(kept) >= min(len(given), 2), "the shorter one stays whole"


def test_a_pair_that_fits_is_not_cut(tmp_path: Path) -> None:
    made = checkpoints.classifier(tmp_path)
    task = TASKS["classify"](made.tokenizer, made.config, made.manifest, LIMITS)
    for pair in (None, "b c"):
        prompts = [
            task.prepare(ClassifyRequest(id="c", text="a", text_pair=pair, truncate=cuts))[0].specs[0]
            for cuts in (False, True)
        ]
        assert prompts[0].prompt == prompts[1].prompt
        assert prompts[0].segments == prompts[1].segments
