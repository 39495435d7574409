from __future__ import annotations

from pathlib import Path

from models import checkpoint
from models.training import run
from models.training.sections import Distillation
from service.scoring.writing import hire_writer
from tests import tiny_recipes

WRITTEN = {"file": "train.tsv", "columns": ["fr", "en"], "directions": ["fr-en"]}


def test_teachers_write_in_the_order_of_the_texts_alone_or_together(made: dict[str, Path]) -> None:
    texts = ["le chat", "un chien et une maison", "la lune"]
    for teachers in ([made["translator"]], [made["translator"]] * 2):
        with hire_writer(teachers, Distillation(teachers=("x",), beams=2)) as write:
            found = write(texts, ("fr", "en"))
            assert len(found) == 3
            assert list(write(texts[::-1], ("fr", "en"))) == list(found)[::-1]


def test_a_student_learns_what_its_teacher_says(data: Path, tmp_path: Path) -> None:
    """A run reads its own file and what the run before it made of that."""
    (tmp_path / "recipes").mkdir()
    teacher = {**tiny_recipes.TRANSLATOR, "name": "teacher", "licence": "CC-BY-4.0"}
    student = {
        **tiny_recipes.TRANSLATOR,
        "name": "student",
        "corpora": [
            {**WRITTEN, "written": {"en": "fr"}},  # distillation
            {"file": "train.tsv", "columns": ["_", "en"], "directions": ["fr-en"], "written": {"fr": "en"}},
        ],
        "distillation": {"teachers": ["teacher"], "beams": 1},
    }
    lines: list[str] = []

    def train(recipe: dict, steps: int) -> run.TrainingResult:
        path = tiny_recipes.write_recipe(tmp_path / "recipes", recipe, steps=steps, learning_rate=0.01)
        return run.train(run.Job(path, data, tmp_path / "runs", "nowhere"), lines.append, hire_writer)

    train(teacher, 150)
    done = checkpoint.read_manifest(train(student, 2).checkpoint)
    assert [(each.relation, each.name, each.licence) for each in done.lineage] == [
        ("distilled from", "teacher", "CC-BY-4.0"),
        ("back-translated by", "teacher", "CC-BY-4.0"),
    ]
    assert done.licence == "", "no weights of the teacher are in it"
    report = "\n".join(lines)
    assert "train.tsv (en written of fr) (training)" in report
    assert "train.tsv (fr written of en) (training)" in report
    stored = [path.read_text() for path in (tmp_path / "runs" / "student" / "written").iterdir()]
    assert len(stored) == 2
    assert all(text.count("\n") == 112 for text in stored)
    assert any('"the cat and' in text for text in stored)
    lines.clear()
    train(student, 3)
    assert "written of" not in "".join(lines), "what is there is not prepared again"
