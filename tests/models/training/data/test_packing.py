from __future__ import annotations

from itertools import pairwise

import pytest

from models.tokenizer import Tokenizer, train_byte_bpe
from models.training.data.packing import PASSAGE, blocks
from models.training.data.rows import Passage, TextRow
from models.training.data.spool import spooled_rows, write_rows
from models.training.loading import load_recipe
from models.training.recipe import Recipe
from models.training.sections import RecipeError
from tests.models.training.reading import encode, read_splits

START, END = 1, 2


def quiet(line: str) -> None:
    pass


def whole(*documents: list[int]) -> list[tuple[Passage, list[int]]]:
    return [(Passage(number, 0, True), ids) for number, ids in enumerate(documents)]


def test_short_documents_share_a_block_each_between_its_start_and_its_end():
    assert list(blocks(whole([10, 11], [12], [13]), 9, START, END)) == [[10, 11, END, START, 12, END, START, 13, END]]


def test_a_long_document_goes_on_in_the_next_block():
    found = list(blocks(whole([10, 11, 12, 13, 14], [15]), 4, START, END))
    assert found == [[10, 11, 12, 13], [14, END, START, 15], [END]]


def test_a_document_that_begins_a_block_has_one_start_token():
    assert list(blocks(whole([10, 11, 12], [13, 14, 15]), 4, START, END)) == [[10, 11, 12, END], [13, 14, 15, END]]


def test_passages_of_a_document_are_one_text_but_where_one_between_them_is_missing():
    parts = [(Passage(0, number, number == 3), [10 + number]) for number in range(4)]
    assert list(blocks(parts, 9, START, END)) == [[10, 11, 12, 13, END]]
    assert list(blocks([parts[0], parts[1], parts[3]], 9, START, END)) == [[10, 11, START, 13, END]]


@pytest.mark.parametrize("longest", [2, 3, 7, 100])
def test_every_id_is_in_a_block_once_in_order_and_all_blocks_but_the_last_are_full(longest):
    documents = [list(range(100 * n, 100 * n + n * 3 % 11 + 1)) for n in range(1, 40)]
    found = list(blocks(whole(*documents), longest, START, END))
    ids = [id for block in found for id in block if id not in (START, END)]
    assert ids == [id for document in documents for id in document]
    assert sum(block.count(END) for block in found) == len(documents)
    assert {len(block) for block in found[:-1]} <= {longest}
    assert all(before == END for block in found for before, id in pairwise(block) if id == START)


@pytest.fixture
def bytes_only() -> Tokenizer:
    return train_byte_bpe([], 300)


@pytest.fixture
def prose(write_recipe, recipes, data):
    """A recipe that packs, of a book."""

    def recipe(text: str, **changes: object) -> Recipe:
        (data / "book.txt").write_text(text)
        corpora = [{"file": "book.txt", "columns": ["text"], "format": "text"}]
        values = {**recipes["generator"], "control": None, "packing": "blocks", "corpora": corpora, "hold_out": 1}
        return load_recipe(write_recipe({**values, **changes}))

    return recipe


def sentences(count: int) -> list[str]:
    return [f"Sentence {n * 7919 % 1000} says {n * 104729 % 997} and {n * 31337 % 991}." for n in range(count)]


def test_blank_lines_part_documents_and_lines_of_one_are_joined(prose, data, tmp_path, bytes_only):
    lines = sentences(6)
    recipe = prose("\n".join([*lines[:3], "", *lines[3:5], "", "", lines[5]]))
    splits = read_splits(recipe, data, tmp_path / "run", quiet)
    texts = {" ".join(lines[:3]), " ".join(lines[3:5]), lines[5]}
    assert {row.target for row in (*splits.training, *splits.validation)} == texts
    packed = encode(recipe, bytes_only, splits.training, (999, 999), tmp_path / "ids", pack=True)
    (example,) = packed
    assert example.source.tolist() == [bytes_only.id("<s>")]
    start, end = bytes_only.id("<s>"), bytes_only.id("</s>")
    documents = [[*bytes_only.encode(row.target), end] for row in splits.training]
    assert example.target.tolist() == [*documents[0], start, *documents[1]]


def test_a_book_without_a_blank_line_is_held_out_and_trained_by_passages_that_go_on(prose, data, tmp_path, bytes_only):
    text = " ".join(sentences(400))
    recipe = prose("\n".join(sentences(400)))
    splits = read_splits(recipe, data, tmp_path / "run", quiet)
    (held_out,) = splits.validation
    assert PASSAGE <= len(held_out.target) < PASSAGE + 100
    rows = list(splits.training)
    assert [row.passage.last for row in rows] == [False] * (len(rows) - 1) + [True]
    packed = encode(recipe, bytes_only, splits.training, (128, 126), tmp_path / "ids", pack=True)
    ids = [id for example in packed for id in example.target.tolist()]
    assert ids.count(bytes_only.id("<s>")) <= 1, "where the passage that is held out is missing"
    before, after = text.split(held_out.target)
    assert bytes_only.decode(ids) == before.rstrip() + after
    assert {len(example.target) for example in list(packed)[:-1]} == {126}


def test_what_is_held_out_is_not_packed_so_that_its_loss_compares(prose, data, tmp_path, bytes_only):
    lines = sentences(9)
    recipe = prose("\n\n".join(lines), hold_out=3)
    validation = read_splits(recipe, data, tmp_path / "run", quiet).validation
    found = encode(recipe, bytes_only, validation, (128, 126), None)
    end = bytes_only.id("</s>")
    assert [example.target.tolist() for example in found] == [
        [*bytes_only.encode(row.target), end] for row in validation
    ]


def test_a_row_of_any_other_format_is_a_document(prose, data, tmp_path):
    (data / "own.csv").write_text("id,text\n" + "".join(f'{n},"{line}"\n' for n, line in enumerate(sentences(5))))
    recipe = prose("", corpora=[{"file": "own.csv", "columns": ["text"]}])
    rows = list(read_splits(recipe, data, tmp_path / "run", quiet).training)
    assert [row.passage.number for row in rows] == [0] * 4
    assert len({row.passage.document for row in rows}) == 4


def test_a_corpus_that_is_repeated_is_packed_once_and_its_blocks_are_repeated(prose, data, tmp_path, bytes_only):
    corpora = [{"file": "book.txt", "columns": ["text"], "format": "text", "repeat": 3}]
    recipe = prose("\n\n".join(sentences(9)), corpora=corpora)
    splits = read_splits(recipe, data, tmp_path / "run", quiet)
    packed = encode(recipe, bytes_only, splits.training, (128, 126), tmp_path / "ids", pack=True)
    targets = [example.target.tolist() for example in packed]
    assert targets[0] == targets[1] == targets[2] != targets[3]
    assert len({tuple(target) for target in targets}) * 3 == len(targets)


def test_packing_is_of_plain_text_for_a_generator(prose, write_recipe, recipes):
    with pytest.raises(RecipeError, match="packing is of a generator, this recipe is to"):
        load_recipe(write_recipe({**recipes["translator"], "packing": "blocks"}))
    with pytest.raises(RecipeError, match="control tokens speak of one text"):
        prose("", control={"column": "text", "token": "<{}>"})


def test_a_packed_row_survives_the_spool(tmp_path):
    rows = [TextRow("", "a", passage=Passage(3, 1, False)), TextRow("", "b")]
    with (tmp_path / "rows").open("w") as file:
        write_rows(file, rows)
    with (tmp_path / "rows").open() as file:
        assert list(spooled_rows(file)) == rows
