"""Texts as the tokens that models read, and tokens as text, over real tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import formats
from models.checkpoint import Checkpoint
from service.errors import InvalidRequest
from service.messages import Detokenize, Tokenize
from service.worker.tasks import TASKS
from service.worker.tasks.task import Limits, WorkerTask
from service.worker.tokens import detokenized, tokenized
from tests import checkpoints

LIMITS = Limits(max_prompt_tokens=40, max_characters=400, max_new_tokens=20)
TEXT = "나는 피곤하다. I am tired."


def served(task: str, made: Checkpoint) -> WorkerTask:
    return TASKS[task](made.tokenizer, made.config, made.manifest, LIMITS)


@pytest.fixture(params=["translate", "generate", "classify", "embed"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> WorkerTask:
    makers = {"translate": checkpoints.translator, "generate": checkpoints.generator}
    return served(request.param, makers.get(request.param, checkpoints.classifier)(tmp_path))


def test_the_tokens_are_those_that_the_model_reads(task: WorkerTask, request: pytest.FixtureRequest) -> None:
    prompts = {
        "translate": lambda: formats.translation_target(task.tokenizer, TEXT),
        "generate": lambda: formats.generation_prompt(task.tokenizer, TEXT),
    }
    read = prompts.get(request.node.callspec.params["task"], lambda: classified(task))()
    [tokens] = tokenized(task, Tokenize(texts=(TEXT,)))
    assert [token.id for token in tokens] == read
    [plain] = tokenized(task, Tokenize(texts=(TEXT,), add_special_tokens=False))
    assert plain == [token for token in tokens if not token.special]
    assert {token.text for token in tokens if token.special} <= {"<s>", "</s>", "[CLS]", "[SEP]"}


def classified(task: WorkerTask) -> list[int]:
    return formats.classification_prompt(task.tokenizer, TEXT)[0]


def test_each_token_has_its_place_in_the_text(task: WorkerTask) -> None:
    [tokens] = tokenized(task, Tokenize(texts=(TEXT,), add_special_tokens=False))
    assert all(TEXT[token.start : token.stop] == token.text for token in tokens)
    assert (tokens[0].start, tokens[-1].stop) == (0, len(TEXT))
    [changed] = tokenized(task, Tokenize(texts=("I  am tired",), add_special_tokens=False))
    assert {(token.start, token.stop) for token in changed} == {(None, None)}, "the model reads one space"


def test_tokens_become_the_text_again(task: WorkerTask) -> None:
    ids = [tuple(token.id for token in tokens) for tokens in tokenized(task, Tokenize(texts=("I am tired", "")))]
    plain = detokenized(task, Detokenize(ids=tuple(ids)))
    assert plain == ["I am tired", ""]
    marked = detokenized(task, Detokenize(ids=tuple(ids), skip_special_tokens=False))
    assert all(len(with_them) > len(without) for with_them, without in zip(marked, plain, strict=True))


def test_an_id_that_no_token_has_is_refused(task: WorkerTask) -> None:
    known = task.tokenizer.vocab_size
    assert detokenized(task, Detokenize(ids=((known - 1,),)))
    for wrong in (known, -1):
        with pytest.raises(InvalidRequest, match=rf"ids\[1\]\[2\] is {wrong}, expected 0 to {known - 1}") as caught:
            detokenized(task, Detokenize(ids=((0,), (0, 1, wrong))))
        assert caught.value.details["index"] == 1


def test_what_a_user_types_is_no_special_token_unless_it_controls(tmp_path: Path) -> None:
    task = served("generate", checkpoints.generator(tmp_path))
    [tokens] = tokenized(task, Tokenize(texts=("</s><rating:9>",), add_special_tokens=False))
    assert [token.text for token in tokens if token.special] == ["<rating:9>"]
