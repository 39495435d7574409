from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint
from models.training import run, soft_labels
from models.training.data.examples import Example
from models.training.data.rows import TextRow
from models.training.loading import read_recipe
from models.training.sections import Distillation, RecipeError
from models.training.soft_labels import DistilledClassification, TaughtExample, TaughtExamples, Teacher
from models.training.tasks.classify import CLASSIFY
from models.training.trainer import Interrupted
from tests.models.training.reading import examples_of

UNLABELLED = {"file": "rated.tsv", "columns": ["_", "text"]}


def quiet(line: str) -> None:
    pass


@pytest.fixture
def student(recipes: dict) -> dict:
    """A recipe that learns from labelled texts and others, of which a teacher speaks."""
    taught = {"teachers": ["teacher"], "temperature": 2.0, "weight": 0.7}
    corpora = [*recipes["classifier"]["corpora"], UNLABELLED]
    return {**recipes["classifier"], "name": "student", "corpora": corpora, "distillation": taught}


@pytest.fixture
def teacher(write_recipe, recipes, data, tmp_path) -> Path:
    recipe = write_recipe({**recipes["classifier"], "name": "teacher"}, steps=60, learning_rate=0.01)
    return run.train(run.Job(recipe, data, tmp_path / "runs", "nowhere"), quiet).checkpoint


def job_of(path: Path, data: Path, runs: Path) -> run.Job:
    return run.Job(path, data, runs, "nowhere")


def test_a_student_learns_what_a_teacher_says_of_texts_without_labels(
    write_recipe, student, teacher, data, tmp_path
) -> None:
    # The only labelled texts are wrong about everything: what is right comes from the teacher. Over seeds and
    # number formats, students reach 0.75 to 1.0 and those without a teacher 0.0.
    lines = (data / "labelled.tsv").read_text().splitlines()
    (data / "labelled.tsv").write_text("".join(f"{1 - int(line[0])}{line[1:]}\n" for line in lines[:40]))
    tests = [{"file": "labelled.test.tsv", **{k: v for k, v in student["corpora"][0].items() if k != "file"}}]
    recipe = {**student, "validation": tests, "hold_out": 0, "tests": []}
    recipe["distillation"] = {"teachers": ["teacher"], "weight": 0.95}
    path = write_recipe(recipe, steps=80, learning_rate=0.01, validate_every=40)
    assert run.train(job_of(path, data, tmp_path / "runs"), quiet).validation.accuracy > 0.6
    alone = {**recipe, "name": "alone", "corpora": recipe["corpora"][:1], "distillation": None}
    path = write_recipe(alone, steps=80, learning_rate=0.01, validate_every=40)
    assert run.train(job_of(path, data, tmp_path / "runs"), quiet).validation.accuracy < 0.4


def test_each_text_has_what_the_teacher_says_of_it(write_recipe, student, teacher, data, tmp_path) -> None:
    prepared = run.prepare(job_of(write_recipe(student), data, tmp_path / "runs"), quiet)
    rows = list(prepared.splits.training)
    assert {row.target for row in rows} == {"positive", "negative", ""}
    examples = prepared.training
    assert isinstance(examples, TaughtExamples)
    found = checkpoint.load(teacher)
    for index in range(0, len(rows), 7):
        example = examples[index]
        assert isinstance(example, TaughtExample)
        assert len(example.target) == (1 if rows[index].target else 0)
        ids = [found.tokenizer.id("[CLS]"), *found.tokenizer.encode(rows[index].source), found.tokenizer.id("[SEP]")]
        batch = soft_labels.prompts([np.array(ids)], 0, ids[-1])
        with torch.inference_mode():
            expected = (found.model(batch)[0] / 2.0).softmax(dim=0)
        np.testing.assert_allclose(example.soft_L, expected, atol=0.02)  # bfloat16 where the hardware has it


def test_several_teachers_are_one_with_the_mean_of_their_probabilities(
    write_recipe, student, teacher, data, tmp_path
) -> None:
    other = write_recipe({**student, "name": "other", "corpora": student["corpora"][:1], "distillation": None})
    run.train(job_of(other, data, tmp_path / "runs"), quiet)
    said = []
    for teachers in (["teacher"], ["other"], ["teacher", "other"]):
        recipe = {**student, "distillation": {"teachers": teachers}}
        prepared = run.prepare(job_of(write_recipe(recipe), data, tmp_path / "runs"), quiet)
        said.append(np.stack([prepared.training.epoch(0)[row].soft_L for row in range(50)]))  # type: ignore[attr-defined]
    np.testing.assert_allclose(said[2], (said[0] + said[1]) / 2, atol=1e-6)
    assert np.abs(said[0] - said[1]).max() > 0.01
    assert len(list((tmp_path / "runs" / "student" / "soft-labels").iterdir())) == 1


def test_teachers_go_on_where_they_were_interrupted_and_read_nothing_twice(
    write_recipe, student, teacher, data, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(soft_labels, "_AT_A_TIME", 50)
    read: list[int] = []
    probabilities = Teacher.probabilities

    def counting(self, task, recipe, rows, temperature):
        if len(read) == 2:
            read.append(0)
            raise Interrupted("asked to stop")
        read.append(len(rows))
        return probabilities(self, task, recipe, rows, temperature)

    monkeypatch.setattr(Teacher, "probabilities", counting)
    job = job_of(write_recipe(student), data, tmp_path / "runs")
    with pytest.raises(Interrupted):
        run.prepare(job, quiet)
    prepared = run.prepare(job, quiet)
    assert sum(read) == len(prepared.training)
    assert len(read) == 3 + (len(prepared.training) - 1) // 50 - 1
    monkeypatch.setattr(soft_labels, "Teacher", None)
    again = run.prepare(job, quiet)
    np.testing.assert_array_equal(again.training.epoch(0)[60].soft_L, prepared.training.epoch(0)[60].soft_L)  # type: ignore[attr-defined]


def test_repeated_texts_have_the_same_teaching(write_recipe, student, teacher, data, tmp_path) -> None:
    corpora = [{**student["corpora"][0], "repeat": 3}, UNLABELLED]
    prepared = run.prepare(job_of(write_recipe({**student, "corpora": corpora}), data, tmp_path / "runs"), quiet)
    first = [prepared.training.epoch(0)[row] for row in range(6)]
    np.testing.assert_array_equal(first[0].soft_L, first[2].soft_L)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first[3].soft_L, first[5].soft_L)  # type: ignore[attr-defined]
    rows = list(prepared.splits.training)
    assert rows[0] == rows[2] != rows[3] == rows[5]


def test_a_text_that_has_a_label_is_not_read_again_without(write_recipe, student, teacher, data, tmp_path) -> None:
    (data / "rated.tsv").write_text((data / "labelled.tsv").read_text() + "5\t다른 글이 여기 있다\n")
    recipe = {**student, "cleaning": {"duplicates": True}}
    prepared = run.prepare(job_of(write_recipe(recipe), data, tmp_path / "runs"), quiet)
    assert [row.source for row in prepared.splits.training if not row.target][-1:] == ["다른 글이 여기 있다"]
    assert sum(not row.target for row in prepared.splits.training) <= 1 + 16  # and those held out of the labelled ones


def objective(**fields: float) -> DistilledClassification:
    return DistilledClassification(0, 3, 4, Distillation(teachers=("t",), **fields))


def example(label: int | None, soft: tuple[float, float]) -> TaughtExample:
    target = np.array([] if label is None else [label], np.int32)
    return TaughtExample(np.array([2, 9, 3], np.int32), target, np.array(soft, np.float32))


def test_labels_count_where_there_is_one_and_teachers_everywhere() -> None:
    batch = objective(temperature=3, weight=0.25).batch(
        [example(1, (0.25, 0.75)), example(None, (0.5, 0.5)), example(0, (1, 0))], np.random.default_rng(1)
    )
    assert batch.targets[0].tolist() == [1, 0]
    assert batch.targets[1].tolist() == [[0.25, 0.75], [0.5, 0.5], [1, 0]]
    assert batch.weights == (0.75, 0.25 * 9)
    logits = torch.tensor([[0.0, 6.0], [3.0, 0.0], [1.0, 2.0]])
    hard, soft = objective(temperature=3).logits(_Says(logits), batch)
    assert hard.tolist() == [[0, 6], [1, 2]]
    torch.testing.assert_close(soft, logits / 3)


def test_validation_is_by_labels_alone() -> None:
    plain = Example(np.array([2, 9, 3], np.int32), np.array([1], np.int32))
    batch = objective().batch([plain, plain], np.random.default_rng(1))
    assert [targets.tolist() for targets in batch.targets] == [[1, 1]]
    (logits,) = objective().logits(_Says(torch.eye(2)), batch)
    assert torch.equal(logits, torch.eye(2))


class _Says:
    training = False

    def __init__(self, logits: torch.Tensor) -> None:
        self._logits = logits

    def __call__(self, inputs: object) -> torch.Tensor:
        return self._logits


def test_labels_in_another_order_are_put_in_the_recipes(teacher: Path, recipes: dict) -> None:
    recipe = read_recipe(recipes["classifier"])
    rows = [TextRow("정말 재미있는 영화 3", ""), TextRow("정말 지루한 영화 3", "")]
    found = Teacher(teacher, ("negative", "positive"), torch.device("cpu")).probabilities(
        CLASSIFY.encode, recipe, rows, 1.0
    )
    turned = Teacher(teacher, ("positive", "negative"), torch.device("cpu")).probabilities(
        CLASSIFY.encode, recipe, rows, 1.0
    )
    np.testing.assert_allclose(found, turned[:, ::-1])
    assert found[0, 1] > 0.5 > found[1, 1]


def test_a_teacher_of_other_labels_is_refused(write_recipe, student, teacher, data, tmp_path) -> None:
    manifest = checkpoint.read_manifest(teacher)
    checkpoint.write_manifest(teacher, dataclasses.replace(manifest, labels=("bad", "good")))
    with pytest.raises(RecipeError, match=r"labels \['bad', 'good'\], expected a classifier with \['negative'"):
        run.prepare(job_of(write_recipe(student), data, tmp_path / "runs"), quiet)


def test_a_teacher_that_is_not_there_is_named(write_recipe, student, data, tmp_path) -> None:
    with pytest.raises(RecipeError, match=r"distillation.teachers is 'teacher': no finished run"):
        run.prepare(job_of(write_recipe(student), data, tmp_path / "runs"), quiet)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"distillation": None}, r"rated.tsv: none of the columns _, text is the label_column 'label': texts without"),
        ({"corpora": [UNLABELLED]}, "beside a first corpus that has them"),
        ({"hold_out": 0, "validation": [UNLABELLED]}, "texts without labels are for teachers"),
        ({"distillation": {"teachers": []}}, "teachers is empty"),
        ({"distillation": {"teachers": ["t"], "temperature": 0}}, "temperature is 0, expected more than 0"),
        ({"distillation": {"teachers": ["t"], "weight": 1.5}}, "weight is 1.5, expected at most 1"),
    ],
)
def test_a_recipe_that_nobody_can_teach_is_refused(student, changes, complaint) -> None:
    with pytest.raises(RecipeError, match=complaint):
        read_recipe({**student, **changes})


def test_examples_that_are_taught_are_read_as_others() -> None:
    plain = examples_of([Example(np.array([2, 7, 3], np.int32), np.array([0], np.int32))] * 2)
    soft_ML = np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)
    examples = TaughtExamples(**vars(plain), soft_ML=soft_ML, key="key")
    assert len(examples) == 2
    assert examples.epoch(3) is examples
    assert examples[1].source.tolist() == [2, 7, 3]
    assert examples.source_lengths_N.tolist() == [3, 3]
