from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from models.training.data.look import look_at
from models.training.data.readers import DataError
from models.training.draft import draft, name_of
from models.training.loading import read_recipe
from models.training.recipe import Recipe
from models.training.start import check_model
from models.training.tasks import DRAFTED


def reviews(path: Path, labels: dict[str, int], length: int = 3) -> Path:
    rows = [
        f"{label},{' '.join(f'word{n * 7919 % 1009}' for _ in range(length))}"
        for label in labels
        for n in range(labels[label])
    ]
    path.write_text("label,text\n" + "\n".join(rows) + "\n")
    return path


def made(path: Path, task: str, **told: object) -> Recipe:
    recipe = read_recipe(yaml.safe_load(draft(look_at(path, DRAFTED[task].find_columns), DRAFTED[task], "own", **told)))
    check_model(recipe, None, path)
    return recipe


def test_a_model_grows_with_the_text_and_its_training_ends_in_time(tmp_path: Path) -> None:
    widths = []
    for count, length in ((50, 3), (2000, 150), (20_000, 150)):
        recipe = made(reviews(tmp_path / "a.csv", {"a": count, "b": count}, length), "classify")
        widths.append(recipe.model["width"])
        assert recipe.training.max_minutes is not None
        assert recipe.training.max_minutes <= 60
        assert 0 < recipe.hold_out <= count
        assert recipe.model["max_positions"] >= min(length * 2, 512)
    assert widths == sorted({*widths}), "each is larger"
    assert made(tmp_path / "a.csv", "classify", minutes=7).training.max_minutes == 7


def test_rare_labels_are_left_out_and_it_says_so(tmp_path: Path) -> None:
    path = reviews(tmp_path / "a.csv", {"positive": 20, "negative": 20, "negativ": 1})
    text = draft(look_at(path, DRAFTED["classify"].find_columns), DRAFTED["classify"], "own")
    recipe = read_recipe(yaml.safe_load(text))
    assert recipe.labels == ("negative", "positive")
    assert recipe.corpora[0].other_labels == "leave_out"
    assert "# Left out, with fewer than 5 rows each: negativ." in text


def test_labels_that_look_like_numbers_or_truth_values_stay_texts(tmp_path: Path) -> None:
    assert made(reviews(tmp_path / "a.csv", {"1": 20, "yes": 20, "null": 20}), "classify").labels == (
        "1",
        "null",
        "yes",
    )


def test_many_labels_are_left_to_the_data(tmp_path: Path) -> None:
    assert made(reviews(tmp_path / "a.csv", {f"intent {n}": 5 for n in range(60)}), "classify").labels == ()


def test_prose_and_long_texts_are_packed_and_lines_are_not(tmp_path: Path) -> None:
    lines = [f"Line {n} has a few words of its own." for n in range(60)]
    (tmp_path / "book.txt").write_text("\n".join("" if n % 5 == 4 else line for n, line in enumerate(lines)))
    assert made(tmp_path / "book.txt", "generate").packing == "blocks"
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    assert made(tmp_path / "lines.txt", "generate").packing == "none"
    (tmp_path / "long.csv").write_text("text\n" + "\n".join(line * 60 for line in lines))
    assert made(tmp_path / "long.csv", "generate").packing == "blocks"


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ({"a": 5}, "5 rows that can be read are not enough to train on"),
        ({"a": 50}, r"two labels with at least 5 rows each are needed, column 'label' has 'a' \(50\)"),
        ({f"text {n}": 1 for n in range(1200)}, "column 'label' has more than 1,000 values, such as 'text 0'"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(tmp_path: Path, labels: dict[str, int], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        made(reviews(tmp_path / "a.csv", labels), "classify")


def test_a_model_is_named_after_the_file(tmp_path: Path) -> None:
    path = reviews(tmp_path / "Our Reviews (2024).csv", {"a": 20, "b": 20})
    assert name_of(look_at(path, DRAFTED["classify"].find_columns)) == "our-reviews-2024"
