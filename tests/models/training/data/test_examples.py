from __future__ import annotations

import numpy as np
import pytest

from models import formats
from models.tokenizer import Tokenizer, train_byte_bpe, train_wordpiece
from models.training.data import examples as module
from models.training.data.examples import Example, Examples
from models.training.data.rows import TextRow
from models.training.data.spool import Spool, write_rows
from models.training.loading import load_recipe
from tests.models.training.reading import encode, examples_of, read_splits

WORDS = ["영화", "최고", "정말", "감동"]


@pytest.fixture
def wordpiece() -> Tokenizer:
    return train_wordpiece([" ".join(WORDS)] * 3, 60)


@pytest.fixture
def bytes_only() -> Tokenizer:
    return train_byte_bpe([], 300, ["<pad>", "<s>", "</s>", "<unk>", "<2fr>", "<2en>"], ["<rating:9>"])


@pytest.fixture
def recipe(write_recipe, recipes):
    return lambda name, **changes: load_recipe(write_recipe({**recipes[name], **changes}))


def as_lists(examples: Examples) -> list[tuple[list[int], list[int]]]:
    return [(example.source.tolist(), example.target.tolist()) for example in examples]


def test_examples_are_given_back_with_their_lengths():
    some = examples_of([Example(np.array([1, 2, 3]), np.array([4])), Example(np.array([5]), np.array([], int))])
    assert as_lists(some) == [([1, 2, 3], [4]), ([5], [])]
    assert some[0].source.dtype == np.int32
    assert some.source_lengths_N.tolist() == [3, 1]
    assert some.target_lengths_N.tolist() == [1, 0]
    with pytest.raises(IndexError):
        some[2]
    assert len(examples_of([])) == 0


@pytest.mark.parametrize("name", ["translator", "classifier", "generator"])
def test_ids_are_those_of_the_formats_that_serving_uses(recipe, wordpiece, bytes_only, name, monkeypatch):
    monkeypatch.setattr(module, "_AHEAD", 2)  # more than one chunk
    some = {
        "translator": [TextRow("le  chat", "the cat", language="en"), TextRow("cat", "chat", language="fr")] * 3,
        "classifier": [TextRow("정말 최고", "positive", pair="영화"), TextRow("정말", "negative")] * 3,
        "generator": [TextRow("", "정말", control="<rating:9>"), TextRow("", "ﬁn")] * 3,
    }[name]
    expected = {
        "translator": lambda row: (
            formats.translation_source(bytes_only, row.source, row.language),
            formats.translation_target(bytes_only, row.target),
        ),
        "classifier": lambda row: (
            formats.classification_prompt(wordpiece, row.source, row.pair)[0],
            [["negative", "positive"].index(row.target)],
        ),
        "generator": lambda row: (
            formats.generation_prompt(bytes_only, row.control or ""),
            formats.translation_target(bytes_only, row.target),
        ),
    }[name]
    tokenizer = wordpiece if name == "classifier" else bytes_only
    found = encode(recipe(name), tokenizer, some, (64, 64), None)
    assert as_lists(found) == [expected(row) for row in some]
    assert found.too_long == ""


def test_two_parts_of_a_text_are_source_and_target(recipe, wordpiece):
    pretrain = recipe("encoder")
    begin, end = wordpiece.id("[CLS]"), wordpiece.id("[SEP]")
    ids = wordpiece.encode
    found = encode(pretrain, wordpiece, [TextRow("정말 최고", "영화"), TextRow("감동", "")], (32, 32), None)
    assert as_lists(found) == [([begin, *ids("정말 최고"), end], [*ids("영화"), end]), ([begin, *ids("감동"), end], [])]


def test_a_long_text_to_classify_is_cut_and_keeps_its_end_token(recipe, wordpiece):
    found = encode(
        recipe("classifier"),
        wordpiece,
        [TextRow("영화 " * 100, "positive")],
        (32, 1),
        None,
    )
    (example,) = found
    assert len(example.source) == 32
    assert example.source[-1] == wordpiece.id("[SEP]")
    assert example.target.tolist() == [1]
    assert found.too_long == "longer than the model takes, of 1 rows: 1 cut"


def test_of_two_texts_to_classify_the_longer_is_cut_and_both_keep_their_separator(recipe, wordpiece):
    end = wordpiece.id("[SEP]")
    long, short = "영화 " * 100, "정말 최고"
    for text, pair in ((long, short), (short, long), (long, long)):
        ((example),) = encode(
            recipe("classifier"),
            wordpiece,
            [TextRow(text, "positive", pair=pair)],
            (32, 1),
            None,
        )
        assert len(example.source) == 32
        assert example.source[-1] == end
        assert np.count_nonzero(example.source == end) == 2
        if short in (text, pair):
            assert set(wordpiece.encode(short)) <= set(example.source.tolist())


def test_a_translation_that_is_too_long_is_left_out_and_counted_with_its_repeats(recipe, bytes_only):
    some = [
        TextRow("a" * 9, "b", language="en"),
        *[TextRow("a", "b" * 9, language="en")] * 3,
        TextRow("a", "b", language="en"),
    ]
    found = encode(recipe("translator"), bytes_only, some, (8, 8), None)
    assert len(found) == 1
    assert found.too_long == "longer than the model takes, of 5 rows: 4 left out"


def test_a_long_text_without_a_control_token_is_split_into_windows(recipe, bytes_only):
    text = "abcdefghij"
    found = encode(
        recipe("generator"),
        bytes_only,
        [TextRow("", text), TextRow("", text, control="<rating:9>")],
        (8, 4),
        None,
    )
    start, end = bytes_only.id("<s>"), bytes_only.id("</s>")
    assert all(example.source.tolist() == [start] for example in found)
    assert [example.target.tolist() for example in found] == [
        bytes_only.encode("abcd"),
        bytes_only.encode("efgh"),
        [*bytes_only.encode("ij"), end],
    ]
    assert found.too_long == "longer than the model takes, of 2 rows: 1 left out, 1 split into windows"


def test_a_long_text_to_pretrain_on_is_split_into_windows_of_two_parts(recipe, wordpiece):
    words = WORDS * 6
    pretrain = recipe("encoder")
    found = encode(pretrain, wordpiece, [TextRow(" ".join(words[:20]), " ".join(words[20:]))], (16, 16), None)
    begin, end = wordpiece.id("[CLS]"), wordpiece.id("[SEP]")
    joined = [id for e in found for id in (*e.source[1:-1].tolist(), *e.target[:-1].tolist())]
    assert joined == wordpiece.encode(" ".join(words))
    for example in found:
        assert len(example.source) + len(example.target) <= 16
        assert (example.source[0], example.source[-1]) == (begin, end)
        assert len(example.target) == 0 or example.target[-1] == end


def test_windows_of_a_text_that_stays_whole_are_whole(recipe, wordpiece):
    words = WORDS * 6
    pretrain = recipe("encoder", next_sentence=False)
    found = encode(pretrain, wordpiece, [TextRow(" ".join(words), "")], (16, 16), None)
    begin, end = wordpiece.id("[CLS]"), wordpiece.id("[SEP]")
    assert [id for e in found for id in e.source[1:-1].tolist()] == wordpiece.encode(" ".join(words))
    for example in found:
        assert len(example.source) <= 16
        assert (example.source[0], example.source[-1]) == (begin, end)
        assert len(example.target) == 0


@pytest.mark.parametrize("name", ["translator", "classifier"])
def test_on_disk_and_in_memory_are_the_same_and_what_is_there_is_opened(
    recipe, wordpiece, bytes_only, data, tmp_path, name, monkeypatch
):
    tokenizer = wordpiece if name == "classifier" else bytes_only
    chosen = recipe(name)
    rows = read_splits(chosen, data, tmp_path / "run", lambda line: None).training
    longest = (6, 12)  # some are too long
    memory = encode(chosen, tokenizer, rows, longest, None)
    disk = encode(chosen, tokenizer, rows, longest, tmp_path / "ids")
    assert as_lists(disk) == as_lists(memory)
    assert disk.too_long == memory.too_long != ""
    assert disk.source_lengths_N.dtype == disk.target_lengths_N.dtype == np.int32

    def never(*arguments):
        raise AssertionError("encoded again")

    tokenizer.save(tmp_path / "tokenizer.json")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_Ahead", never)
        again = encode(chosen, Tokenizer.load(tmp_path / "tokenizer.json"), rows, longest, tmp_path / "ids")
        assert as_lists(again) == as_lists(disk)
        with pytest.raises(AssertionError, match="encoded again"):
            encode(chosen, tokenizer, rows, (5, 12), tmp_path / "ids")


def test_repeated_rows_are_stored_once(recipe, bytes_only, tmp_path):
    with (tmp_path / "rows.jsonl").open("w") as file:
        write_rows(file, [TextRow("a", "b", language="en")])
    rows = Spool(tmp_path / "rows.jsonl", [(1, 1000)], "key")
    found = encode(recipe("translator"), bytes_only, rows, (8, 8), tmp_path)
    assert len(found) == 1000
    assert as_lists(found)[0] == as_lists(found)[999]
    (ids,) = tmp_path.glob("*/ids")
    assert ids.stat().st_size == 2 * (3 + 2)  # two bytes an id
