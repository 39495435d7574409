"""Which language a text is in, by the real library, whose model lies in its wheel."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.gateway.detection import LOOKED_AT, Detection, ToDetect

SERVED = ("fr", "en", "ko")
SENTENCES = [
    line.split("\t") for line in Path(__file__).with_name("sentences.tsv").read_text(encoding="utf-8").splitlines()
]
EUROPEAN = sorted({language for language, _ in SENTENCES})


@pytest.fixture
async def detection() -> AsyncIterator[Detection]:
    made = Detection()
    yield made
    made.close()


async def best(detection: Detection, texts: list[str], languages: tuple[str, ...] = SERVED) -> list[str]:
    return [ranking[0].language for ranking in await detection.rank(ToDetect(texts, languages))]


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("fr", ["Bonjour !", "merci", "Quelle heure est-il", "Enregistrer", "JE SUIS FATIGUE", "Ça va ?"]),
        ("en", ["hello", "Thanks!", "What time is it", "Save", "I AM TIRED", "yes"]),
        ("ko", ["안녕", "네", "ㅋㅋㅋ", "Tom은 왔다", "저는 피곤합니다."]),
    ],
)
async def test_short_texts_are_told_apart(detection: Detection, language: str, texts: list[str]) -> None:
    assert await best(detection, texts) == [language] * len(texts)


async def test_sentences_of_eight_more_languages_are_told_apart(detection: Detection) -> None:
    languages = (*SERVED, *EUROPEAN)
    assert len(SENTENCES) == 20 * len(EUROPEAN) == 160
    for change in (str, str.upper, str.lower):
        found = await best(detection, [change(text) for _, text in SENTENCES], languages)
        assert found == [language for language, _ in SENTENCES]
    bare = ["".join(c for c in unicodedata.normalize("NFD", text) if ord(c) < 0x300) for _, text in SENTENCES]
    right = sum(
        one == language for one, (language, _) in zip(await best(detection, bare, languages), SENTENCES, strict=True)
    )
    assert right >= 0.97 * len(SENTENCES), "without accents"


async def test_scores_are_shares_of_the_languages_that_are_possible(detection: Detection) -> None:
    [ranking] = await detection.rank(ToDetect(["Guten Morgen, wie geht es dir?"], ("fr", "en", "ko", "de")))
    assert (ranking[0].language, {each.language for each in ranking}) == ("de", {"fr", "en", "ko", "de"})
    assert sum(each.score for each in ranking) == pytest.approx(1, abs=0.001)
    assert [each.score for each in ranking] == sorted((each.score for each in ranking), reverse=True)
    [restricted] = await detection.rank(ToDetect(["Guten Morgen, wie geht es dir?"], SERVED))
    assert {each.language for each in restricted} == {"fr", "en", "ko"}


@pytest.mark.parametrize("text", ["12:30", "...", "🙂", "Привет, мир", "\x00", "<<<"])
async def test_a_text_that_says_nothing_may_be_in_each_of_them_as_well(detection: Detection, text: str) -> None:
    [ranking] = await detection.rank(ToDetect([text], SERVED))
    assert [(each.language, each.score) for each in ranking] == [("fr", 0.3333), ("en", 0.3333), ("ko", 0.3333)]


async def test_languages_are_known_by_all_their_codes_and_told_as_they_were_asked_for(detection: Detection) -> None:
    assert await best(detection, ["Bonjour", "안녕"], ("fra_Latn", "eng_Latn", "kor_Hang")) == ["fra_Latn", "kor_Hang"]
    chinese = ["我喜欢学习汉语", "我喜歡學習漢語"]
    assert await best(detection, chinese, ("zh-Hans", "zh-Hant", "ja")) == ["zh-Hans", "zh-Hant"]
    assert await best(detection, chinese, ("zh", "ja")) == ["zh", "zh"]
    assert await best(detection, chinese, ("zho_Hant", "zho_Hans")) == ["zho_Hans", "zho_Hant"]


async def test_codes_of_what_cannot_be_told_apart_count_as_the_first(detection: Detection) -> None:
    [ranking] = await detection.rank(ToDetect(["Bonjour"], ("en", "fr-CA", "fr-FR")))
    assert [each.language for each in ranking] == ["fr-CA", "en"]


async def test_a_language_that_the_library_does_not_know_comes_last(detection: Detection) -> None:
    [ranking] = await detection.rank(ToDetect(["Bonjour"], ("tlh", "fr")))
    assert [(each.language, each.score) for each in ranking] == [("fr", 1.0), ("tlh", 0.0)]
    [alone] = await detection.rank(ToDetect(["nuqneH"], ("tlh",)))
    assert [(each.language, each.score) for each in alone] == [("tlh", 1.0)]


async def test_tags_and_addresses_are_no_words_of_a_language(detection: Detection) -> None:
    texts = [
        '<p class="important notice">Ouvrir</p>',
        "https://example.com/the/latest/news/of/the/world 안녕",
        "support@example.com : merci",
    ]
    assert await best(detection, texts) == ["fr", "ko", "fr"]
    assert await best(detection, ["https://example.com/the/latest/news"]) == ["en"], "where there is nothing else"


async def test_only_the_beginning_of_a_text_is_looked_at(detection: Detection) -> None:
    beginning = "Je suis fatigué. " * (LOOKED_AT // 10)
    started = time.perf_counter()
    assert await best(detection, [beginning + "I am tired. " * 50_000, "<" * 1_000_000]) == ["fr", "fr"]
    assert time.perf_counter() - started < 2


async def test_languages_that_come_to_be_served_are_loaded_then(detection: Detection) -> None:
    assert await best(detection, ["Je suis fatigué."], ("fr", "en")) == ["fr"]
    assert await best(detection, ["Ich bin müde."], ("fr", "en", "de")) == ["de"]
    assert await best(detection, ["Je suis fatigué."], ("fr", "en")) == ["fr"]


async def test_the_event_loop_goes_on_while_texts_are_looked_at(detection: Detection) -> None:
    await best(detection, ["a"])
    threads: set[str] = set()
    detector = detection._detector
    detect = detector.detect
    detector.detect = lambda text: (threads.add(threading.current_thread().name), detect(text))
    await best(detection, ["a", "b"])
    assert [name.startswith("detection") for name in threads] == [True]


def test_the_library_is_loaded_when_it_is_asked_for_and_not_before() -> None:
    program = "import sys, service.gateway.app; print('langidentify' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
