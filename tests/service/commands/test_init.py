from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models import checkpoint
from models.training.loading import load_recipe
from service.cli import app

ANIMALS = {"cat": "chat", "dog": "chien", "bird": "oiseau", "horse": "cheval", "fish": "poisson", "wolf": "loup"}
SEEN = {
    "a house": "une maison",
    "the road": "la route",
    "a tree": "un arbre",
    "the sea": "la mer",
    "a boat": "un bateau",
}
SHORT = ("--set", "training.steps=6", "--set", "training.validate_every=3", "--set", "model.width=32")


def triptych(*arguments: object) -> str:
    found = CliRunner().invoke(app, list(map(str, arguments)))
    assert found.exit_code == 0, found.output
    return " ".join(found.output.split())


def refused(*arguments: object) -> str:
    found = CliRunner().invoke(app, list(map(str, arguments)))
    assert found.exit_code == 2, found.output
    assert "Traceback" not in found.output
    return " ".join(found.output.split())


def pairs() -> list[tuple[str, str]]:
    every = itertools.product(ANIMALS.items(), ANIMALS.items(), SEEN.items())
    return [(f"Le {b} et le {d} voient {f}.", f"The {a} and the {c} see {e}.") for (a, b), (c, d), (e, f) in every]


def a_csv_of_excel(path: Path) -> Path:
    """With a byte order mark, semicolons and CR/LF."""
    rows = "".join(f'{n};"{f}";"{e}"\r\n' for n, (f, e) in enumerate(pairs()))
    path.write_bytes(f"\ufeffid;French;English\r\n{rows}".encode())
    return path


def reviews_in_csv(path: Path) -> Path:
    """With a comma and a quote in the texts, a misspelt label and a row without one."""
    rows = [f'"{e[:-1]}, ""{n}""",{("good", "bad")[n % 2]}' for n, (_, e) in enumerate(pairs())]
    path.write_text("Review,Sentiment\n" + "\n".join(rows) + "\nquite so,god\nno label,\n")
    return path


def a_book(path: Path) -> Path:
    lines = [e for _, e in pairs()]
    path.write_text("\n".join("" if n % 7 == 6 else line for n, line in enumerate(lines)))
    return path


@pytest.mark.parametrize(
    ("task", "write", "sees", "scored", "count", "measure", "most"),
    [
        ("translate", a_csv_of_excel, "fr (French): texts of", ("fr-en",), {"sentences": 20}, "bleu", 100),
        ("classify", reviews_in_csv, "label (Sentiment): good 90, bad 90, god 1", (), {"texts": 20}, "accuracy", 1),
        ("generate", a_book, "text, 155 rows, 26 documents", (), {"texts": 4}, "bits_per_byte", 16),
    ],
)
def test_a_strangers_file_becomes_a_recipe_a_checkpoint_and_a_score(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    write,
    sees: str,
    scored: tuple[str, ...],
    count: dict[str, int],
    measure: str,
    most: float,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    file = write(tmp_path / "my data" / ("own.txt" if task == "generate" else "own.csv"))
    output = triptych("init", task, file)
    assert sees in output
    assert f"Next: triptych train own.yaml --data '{file.parent}'" in output
    triptych("train", "own.yaml", "--data", file.parent, *SHORT)
    made = tmp_path / "runs" / "own" / "checkpoint"
    assert checkpoint.read_manifest(made).training["steps"] == 6
    output = triptych("evaluate", made, "--data", file, "--limit", 20, "--json", "scores.json", "--worst", 0)
    assert "columns, with what the file calls them" in output
    scores = json.loads(Path("scores.json").read_text())["scores"]
    for name in scored:
        scores = scores[name]
    assert scores.items() >= count.items(), "20 rows, which of a book are four documents"
    assert 0 <= scores[measure] <= most


def test_what_it_saw_is_what_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    output = triptych(
        "init", "classify", reviews_in_csv(tmp_path / "own.csv"), "--minutes", 3, "--name", "mood", "--out", "r.yaml"
    )
    assert "left out, with fewer than 5 rows each: god" in output
    assert "1 rows cannot be read; the first: own.csv:183: column Sentiment is empty" in output
    recipe = load_recipe(tmp_path / "r.yaml")
    assert (recipe.name, recipe.labels, recipe.training.max_minutes) == ("mood", ("bad", "good"), 3)
    assert recipe.corpora[0].names == {"text": "Review", "label": "Sentiment"}
    assert recipe.corpora[0].other_labels == "leave_out"


def test_a_recipe_that_is_there_is_not_overwritten_unless_forced(tmp_path: Path) -> None:
    file, out = a_book(tmp_path / "own.txt"), tmp_path / "own.yaml"
    out.write_text("mine")
    assert f"{out} is there already: --force overwrites it" in refused("init", "generate", file, "--out", out)
    assert out.read_text() == "mine"
    triptych("init", "generate", file, "--out", out, "--force")
    assert load_recipe(out).packing == "blocks"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("generate", "missing.txt"), "missing.txt: no such file"),
        (
            ("translate", "own.tsv"),
            "which languages are its columns? 1 (unknown), 2 (unknown). Say so with --languages",
        ),
        (("translate", "own.tsv", "--languages", "fr-en"), "--languages 'fr-en' is not of the form fr,en"),
        (("classify", "own.tsv"), "no column looks like labels"),
        (("classify", "own.tsv", "--text", "review"), "no column 'review'; there are 1, 2"),
    ],
)
def test_what_it_cannot_tell_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.tsv").write_text("".join(f"{f}\t{e}\n" for f, e in pairs()))
    assert reason in refused("init", *arguments)
    assert not list(tmp_path.glob("*.yaml"))


def test_a_task_that_no_recipe_is_drafted_for_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    file = a_book(tmp_path / "book.txt")
    for task in ("pretrain", "summarize"):
        said = refused("init", task, file)
        assert f"no recipe is drafted for the task '{task}', expected one of translate, generate, classify" in said
