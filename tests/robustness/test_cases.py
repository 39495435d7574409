"""The suite's own quality: enough cases of every kind, and answers that a person would call right are called so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import models.training
from models.training.evaluation.robustness import Verdict
from models.training.evaluation.suite import KINDS, Case, Direction, read_suite
from models.training.loading import load_recipe

CASES = Path(__file__).parent / "cases"
RECIPES = sorted((Path(models.training.__file__).parent / "recipes").glob("*.yaml"))
LACKING = {("ko", "en"): {"capitals", "no_accents"}}  # the script has neither

RIGHT = [
    ("fr-en", "Bonjour", ["Hello.", "Good morning!", "Hi"]),
    ("fr-en", "JE SUIS TRÈS FATIGUÉ.", ["I'm very tired.", "I AM SO TIRED."]),
    ("fr-en", "Il coûte 249 euros.", ["It costs 249 euros.", "It is €249."]),
    ("fr-en", "Bonjour {name}, votre commande est prête.", ["Hello {name}, your order is ready."]),
    ("fr-en", "Merci 🙏", ["Thanks 🙏", "Thank you🙏"]),
    ("en-fr", "Hello", ["Bonjour.", "Salut !"]),
    ("en-fr", "I AM VERY TIRED.", ["Je suis très fatiguée.", "JE SUIS VRAIMENT FATIGUÉ."]),
    ("en-fr", "You're welcome.", ["De rien.", "Je vous en prie.", "Il n'y a pas de quoi."]),
    ("en-fr", "Nice to meet you.", ["Enchantée.", "Ravi de vous rencontrer.", "Heureux de faire ta connaissance."]),
    ("en-fr", "I lost my keys. Can you help me look for them? They are red.", [
        "J'ai perdu mes clés. Peux-tu m'aider à les chercher ? Elles sont rouges."]),
    ("ko-en", "감사합니다", ["Thank you.", "Thanks a lot!"]),
    ("ko-en", "안녕히 가세요.", ["Goodbye.", "Bye!"]),
    ("ko-en", "AF1234편은 B12 탑승구에서 출발합니다.", ["Flight AF1234 departs from gate B12."]),
    ("ko-en", "^^", ["^^"]),
    ("en-ko", "Hello", ["안녕하세요.", "안녕!"]),
    ("en-ko", "Good night!", ["안녕히 주무세요!", "잘 자!", "잘 자요."]),
    ("en-ko", "Goodbye", ["안녕히 가세요.", "안녕.", "안녕히 계세요", "잘 가."]),
    ("en-ko", "See you tomorrow.", ["내일 봐.", "내일 봅시다.", "내일 뵙겠습니다.", "내일 만나요."]),
    ("en-ko", "Thank you very much!", ["정말 감사합니다!", "대단히 고맙습니다.", "정말 고마워!"]),
    ("en-ko", "I AM VERY TIRED.", ["나는 매우 피곤하다.", "저는 정말 피곤해요."]),
    ("en-ko", "WHERE IS THE STATION?", ["역이 어디예요?", "역은 어디에 있습니까?"]),
    ("en-ko", "DO NOT TOUCH!", ["만지지 마!", "손대지 마세요!"]),
    ("en-ko", "I AM HUNGRY AND THIRSTY.", ["배고프고 목말라요.", "나는 배가 고프고 목이 마르다."]),
    ("en-ko", "i don't understand", ["이해가 안 돼요", "이해하지 못하겠어요.", "모르겠어요"]),
    ("en-ko", "cat", ["고양이", "고양이."]),
    ("en-ko", "It costs 249 euros.", ["249유로입니다.", "가격은 249유로예요."]),
    ("en-ko", "Install version 3.11.4 of Python.", ["Python 3.11.4 버전을 설치하세요."]),
    ("en-ko", "My password is not Xk9-pQ2z.", ["제 비밀번호는 Xk9-pQ2z가 아닙니다."]),
    ("en-ko", "The train has left. We waited for an hour. Then it rained.", [
        "기차가 떠났다. 우리는 한 시간을 기다렸다. 그리고 비가 왔다."]),
]  # fmt: skip
WRONG = [
    ("fr-en", "Bonjour", ["Say hello.", "Bonjour."]),
    ("fr-en", "Merci", ["Thank you for yourselves."]),
    ("fr-en", "Il coûte 249 euros.", ["It costs 2490 euros."]),
    ("en-fr", "Hello", ["Il joue.", "Hello."]),
    ("en-fr", "How are you?", ["Comment êtes-vous ?"]),
    ("ko-en", "감사합니다", ["I'm sorry."]),
    ("en-ko", "cat", ["고양이가 없다.", "cat"]),
    ("en-ko", "CLOSE THE DOOR.", ["창문을 열어라."]),
    ("en-ko", "The number is 555-0142.", ["번호는 555-01423입니다."]),
]


@pytest.fixture(scope="module")
def suite() -> dict[Direction, list[Case]]:
    return read_suite(CASES)


def case_of(suite: dict[Direction, list[Case]], direction: str, source: str) -> Case:
    first, _, second = direction.partition("-")
    [case] = [case for case in suite[first, second] if case.source == source]
    return case


def test_every_direction_has_enough_cases_of_every_kind(suite: dict[Direction, list[Case]]) -> None:
    assert set(suite) == {("fr", "en"), ("en", "fr"), ("ko", "en"), ("en", "ko")}
    for direction, cases in suite.items():
        kinds = Counter(case.kind for case in cases)
        assert len(cases) >= 100
        assert set(kinds) == set(KINDS) - LACKING.get(direction, set()), direction
        assert min(kinds["greeting"], kinds["copied"]) >= 18
        assert len({case.source for case in cases}) == len(cases), f"{direction} has a source twice"


@pytest.mark.parametrize(("direction", "source", "outputs"), RIGHT)
def test_a_right_answer_is_called_right(
    suite: dict[Direction, list[Case]], direction: str, source: str, outputs: list[str]
) -> None:
    case = case_of(suite, direction, source)
    assert {output: Verdict.of(case, output).failures for output in outputs} == {output: [] for output in outputs}


@pytest.mark.parametrize(("direction", "source", "outputs"), WRONG)
def test_a_wrong_answer_is_called_wrong(
    suite: dict[Direction, list[Case]], direction: str, source: str, outputs: list[str]
) -> None:
    case = case_of(suite, direction, source)
    assert not any(Verdict.of(case, output).right for output in outputs)


def test_a_source_given_back_is_right_where_there_is_nothing_to_translate(suite: dict[Direction, list[Case]]) -> None:
    for direction, cases in suite.items():
        wordless = [case for case in cases if case.wordless]
        assert wordless, direction
        for case in wordless:
            assert Verdict.of(case, case.source).right, case.source


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_recipe_reads_the_cases(path: Path) -> None:
    recipe = load_recipe(path)
    corpora = (*recipe.corpora, *recipe.validation, *recipe.tests)
    names = [name for corpus in corpora for name in (corpus.file, *corpus.files.values()) if name]
    assert names
    assert not [name for name in names if name.endswith(".yaml") or "robustness" in name]
