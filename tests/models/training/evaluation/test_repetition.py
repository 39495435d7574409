from __future__ import annotations

import pytest

from models.training.evaluation.repetition import longest_run, loops


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("JE SUIS TRÈS FATIGUÉ.", "I am in SERSSIIINEEEIIIIISEEEEEEEEEEIIIIIIIIIIIIIII"),  # as translators wrote them
        ("I AM VERY TIRED.", "J'ai SMIRERRRRRREED."),
        ("Look at https://example.com/page?id=42.", "Regarde les collètes://////neuf"),
        ("THANK YOU VERY MUCH", "L'HANNATONATONATONATONATONATON."),
        ("Donaudampfschiff", "Nexty electronic electronic electronic electronic electronic elections."),
        ("Why?", "I don't know. I don't know, I don't know."),
        ("Non.", "no, no, no, no, no"),
        ("Non.", "NO no No nO NO"),
        ("cent", "0" * 60),
        ("chat", "the cat that sat on the mat and looked at the dog in the rain all day"),
        ("ㅋㅋㅋ", "ㅋ" * 7),
        ("고양이", "고양이가 고양이가 고양이가 고양이가 고양이가"),
    ],
)
def test_what_goes_round_or_rambles_on_is_a_loop(source: str, output: str) -> None:
    assert loops(source, output)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("C'est très, très bon.", "It's very, very good."),
        ("LOL", "ㅋㅋㅋㅋㅋ"),
        ("ㅋㅋㅋㅋㅋㅋ", "hahahahahaha"),
        ("ㅋㅋㅋㅋ", "ha ha ha ha ha ha"),
        ("mdr", "ha ha ha"),
        ("mdr", "hahahaha"),
        ("Non, non et non !", "No, no, no, no!"),
        ("C'est loiiiiin", "It's faaaaar"),
        ("un milliard", "1000000000"),
        ("12 12 12", "12 12 12"),
        ("Au revoir, au revoir, au revoir !", "Goodbye now, goodbye now, goodbye now!"),
        ("a" * 30, "a" * 30),
        ("...", "..."),
        ("Attends...", "Wait......"),  # up to twice as many as the source's
        ("-" * 20, "-" * 20),
        ("나는 매일 아침 커피를 마신다.", "I drink coffee every morning before I go to work with my brother."),
        ("ㅇㅋ", "All right then, I will do it."),
        ("x", ""),
        ("", ""),
    ],
)
def test_what_people_say_or_their_source_does_itself_is_none(source: str, output: str) -> None:
    assert not loops(source, output)


def test_a_run_is_of_the_unit_that_comes_most_often() -> None:
    assert longest_run("abcabcab") == 2
    assert longest_run("xxabababx") == 3
    assert longest_run("abc") == 1
    assert longest_run("") == 0
    assert longest_run("aaaa", shortest=2) == 2
    assert longest_run(["a", "b", "a", "b", "a", "b"], longest=1) == 1
