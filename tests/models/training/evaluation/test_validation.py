import sys
from dataclasses import replace

import pytest
import torch

from models import formats
from models.interface import Prompts
from models.training.data.examples import Example, Examples
from models.training.data.rows import TextRow
from models.training.evaluation import validation
from models.training.evaluation.metrics import bits_per_byte
from models.training.evaluation.validation import Judge, Shown, continuations
from models.training.loading import read_recipe
from models.training.recipe import Recipe
from models.training.sections import RecipeError
from models.training.tasks import task_of, translate
from tests import checkpoints
from tests import tiny_recipes as tiny
from tests.models.tiny import CONFIGS, built, prompts_of, row_of, teacher_forced
from tests.models.training.reading import encode, examples_of

TRANSLATIONS = [
    TextRow(f"{f} et {g} là", f"{e} and {h} there", language="en", source_language="fr")
    for f, e in zip(tiny.FRENCH, tiny.ENGLISH, strict=True)
    for g, h in zip(tiny.FRENCH, tiny.ENGLISH, strict=True)
]
REVERSED = [TextRow(row.target, row.source, language="fr", source_language="en") for row in TRANSLATIONS]
LABELLED = [
    TextRow(text, label) for label, texts in (("negative", tiny.BAD), ("positive", tiny.GOOD)) for text in texts
]
REVIEWS = [TextRow("", f"{text} {n}", control="<rating:9>") for n in range(5) for text in tiny.GOOD]
NONE = examples_of([])


def recipe(task: str, **training: object) -> Recipe:
    values = tiny.RECIPES[task]
    return read_recipe({**values, "training": {**values["training"], **training}})


def judge_of(recipe: Recipe, *arguments: object) -> Judge | None:
    return task_of(recipe).judge(recipe, *arguments)


def judge(task: str, made: checkpoints.Checkpoint, rows: list[TextRow], examples: Examples = NONE, **training: object):
    found = judge_of(recipe(task, **training), made.config, made.tokenizer, rows, examples)
    assert found is not None
    return found


@pytest.fixture
def translator(tmp_path):
    return checkpoints.translator(tmp_path / "translator")


def test_a_translator_gets_the_bleu_of_its_own_translations(translator, monkeypatch) -> None:
    parrot = judge("translator", translator, TRANSLATIONS + REVERSED, score_texts=20, samples=2)
    asked = []

    def say(model, prompts, limits):
        """Every other reference, word for word."""
        asked.extend(prompts)
        rows = [row for row, _ in parrot._rows]
        return [translator.tokenizer.encode(row.target if n % 2 else "") for n, row in enumerate(rows)]

    honest = parrot(translator.model, 1.0, 0.5)
    assert 0 <= honest.score < 5  # its weights are random
    assert (parrot.measure, parrot.higher_is_better) == ("bleu", True)
    monkeypatch.setattr(translate, "continuations", say)
    answers = parrot(translator.model, 1.0, 0.5)
    assert honest.score < answers.score < 100
    assert len(asked) == 20
    assert [sample.answer == sample.expected for sample in answers.samples] == [False, True]


def test_samples_are_of_every_language_and_the_same_every_time(translator) -> None:
    first, second = (judge("translator", translator, TRANSLATIONS + REVERSED, samples=2) for _ in range(2))
    answers = first(translator.model, 1.0, 0.5)
    assert {sample.source[:7] for sample in answers.samples} == {"fr→en: ", "en→fr: "}
    assert answers == second(translator.model, 1.0, 0.5)
    other = read_recipe({**tiny.TRANSLATOR, "seed": 5})
    third = judge_of(other, translator.config, translator.tokenizer, TRANSLATIONS + REVERSED, NONE)
    assert third is not None
    assert third(translator.model, 1.0, 0.5).samples != answers.samples


def test_what_a_translator_cannot_read_is_not_asked(translator) -> None:
    rows = [TextRow("le chat " * 100, "the cat " * 100, language="en", source_language="fr"), TRANSLATIONS[0]]
    answers = judge("translator", translator, rows)(translator.model, 1.0, 0.5)
    assert [sample.expected for sample in answers.samples] == [TRANSLATIONS[0].target]


@pytest.mark.parametrize("changes", [{"score_texts": 0}, {"samples": 0}, {"score_texts": 0, "samples": 0}], ids=str)
def test_zero_turns_scores_and_samples_off(translator, changes) -> None:
    answers = judge("translator", translator, TRANSLATIONS, **changes)(translator.model, 1.0, 0.5)
    assert (answers.score is None) == ("score_texts" in changes)
    assert len(answers.samples) == changes.get("samples", 3)


def test_no_validation_rows_fit_and_there_is_no_score(translator) -> None:
    answers = judge("translator", translator, [])(translator.model, 1.0, 0.5)
    assert (answers.score, answers.samples) == (None, ())


def test_without_sacrebleu_samples_are_shown_and_patience_by_score_is_refused(translator, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    answers = judge("translator", translator, TRANSLATIONS)(translator.model, 1.0, 0.5)
    assert (answers.score, len(answers.samples)) == (None, 3)
    with pytest.raises(RecipeError, match="patience_by is 'score', and sacrebleu is missing: pip install"):
        judge("translator", translator, TRANSLATIONS, patience=2, patience_by="score")


def test_patience_by_a_score_that_is_turned_off_is_refused() -> None:
    with pytest.raises(RecipeError, match="patience_by is 'score' and score_texts 0"):
        recipe("translator", patience_by="score", score_texts=0)


def test_a_classifier_names_its_label_and_how_sure_it_is(tmp_path) -> None:
    made = checkpoints.classifier(tmp_path / "classifier")
    asked = judge("classifier", made, LABELLED, samples=4)
    answers = asked(made.model, 1.0, 0.75)
    assert (answers.score, asked.measure, asked.higher_is_better) == (0.75, "accuracy", True)
    assert sorted(sample.expected for sample in answers.samples) == ["negative", "negative", "positive", "positive"]
    for sample in answers.samples:
        read = checkpoint_probability(made, sample.source)
        assert sample.answer == f"{made.manifest.labels[int(read.argmax())]} ({float(read.max()):.0%})"


@torch.no_grad()
def checkpoint_probability(made: checkpoints.Checkpoint, text: str) -> torch.Tensor:
    ids, _ = formats.classification_prompt(made.tokenizer, text)
    return made.model(Prompts(tokens_BS=torch.tensor([ids]), lengths_B=torch.tensor([len(ids)]))).softmax(1)[0]


def test_a_generator_goes_on_with_a_text_and_its_loss_becomes_bits_per_byte(tmp_path) -> None:
    made = checkpoints.generator(tmp_path / "generator")
    examples = encode(recipe("generator"), made.tokenizer, REVIEWS, (64, 62), None)
    asked = judge("generator", made, REVIEWS, examples, samples=1)
    loss = 2.5
    answers = asked(made.model, loss, 0.1)
    nats = loss * int(examples.target_lengths_N.sum())
    assert answers.score == pytest.approx(bits_per_byte(nats, [row.target for row in REVIEWS]))
    assert (asked.measure, asked.higher_is_better) == ("bits_per_byte", False)
    (sample,) = answers.samples
    start = sample.source.removeprefix("<rating:9>")
    assert start != sample.source
    assert f"{start} {sample.expected}" in [row.target for row in REVIEWS]
    ids = formats.generation_prompt(made.tokenizer, sample.source)
    (said,) = continuations(made.model, [ids], [min(40, made.config.context - len(ids))])
    assert sample.answer == Shown("", "", made.tokenizer.decode(said)).answer != ""


def test_pre_training_is_asked_nothing(tmp_path) -> None:
    made = checkpoints.classifier(tmp_path / "classifier")
    assert judge_of(recipe("encoder"), made.config, made.tokenizer, [], NONE) is None


def test_samples_are_fit_for_a_terminal() -> None:
    sample = Shown("one\nline", "\x1b[31mred\x1b[0m", "a" * 1000)
    assert sample.source == "one line"
    assert sample.expected == "\ufffd[31mred\ufffd[0m"
    assert sample.answer == "a" * 300 + "…"


def test_empty_examples_have_no_bytes_to_divide_by(tmp_path) -> None:
    made = checkpoints.generator(tmp_path / "generator")
    empty = examples_of([Example(torch.tensor([1]).numpy(), torch.tensor([2]).numpy())])
    assert judge("generator", made, [], empty)(made.model, 1.0, 0.0).samples == ()


def alone(model: torch.nn.Module, prompt, limit: int) -> list[int]:
    """By forward passes over all that was said, without a cache."""
    said: list[int] = []
    while len(said) < limit:
        best = int(teacher_forced(model, prompt, said)[-1].argmax())
        if best == model.config.end_id:
            break
        said.append(best)
    return said


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_batched_continuations_are_those_of_each_alone_without_a_cache(name: str, monkeypatch) -> None:
    monkeypatch.setattr(validation, "_ROWS", 3)  # more than one batch
    model = built(CONFIGS[name])
    prompts = prompts_of(3, 9, 1, 6, 12)
    limits = [8, 3, 12, 0, 5]
    rows = [row_of(prompts, row) for row in range(5)]
    expected = [alone(model, row, limit) for row, limit in zip(rows, limits, strict=True)]
    # What one of them says in the middle becomes the end token of all: some end before their limit.
    ends = max(expected, key=len)[2]
    model = built(replace(CONFIGS[name], end_id=ends))
    found = continuations(model, [row.tokens_BS[0].tolist() for row in rows], limits)
    assert found == [alone(model, row, limit) for row, limit in zip(rows, limits, strict=True)]
    assert [len(each) for each in found] != limits
    assert all(ends not in each for each in found)


def test_nothing_is_asked_of_nobody() -> None:
    assert continuations(built(CONFIGS["gpt-pre"]), [], []) == []
