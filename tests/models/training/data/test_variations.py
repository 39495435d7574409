import re

import numpy as np
import pytest
from rapidfuzz.distance import DamerauLevenshtein

from models.training.data.pieces import PLACEHOLDERS, copies
from models.training.data.variations import VARIATIONS, without_end

PAIRS = [
    ("Où est la gare ?", "Where is the station?"),
    ("J'ai très faim, et toi ?", "I'm very hungry, and you?"),
    ("나는 매일 아침 커피를 마신다.", "I drink coffee every morning."),
    ("Elle a payé %s euros.", "She paid %s euros."),
    ("Non", "No"),
    ("…", "..."),
    ("Où", "우"),
]


def drawn(name: str, source: str, target: str, times: int = 200) -> set[tuple[str, str]]:
    random = np.random.default_rng(1)
    return {VARIATIONS[name](source, target, random) for _ in range(times)}


@pytest.mark.parametrize("name", VARIATIONS)
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_no_variation_leaves_a_side_empty(name, source, target):
    assert all(a.strip() and b.strip() for a, b in drawn(name, source, target))


@pytest.mark.parametrize("name", ["accents", "spaces", "slips"])
def test_what_is_wrong_in_the_source_alone_leaves_the_translation(name):
    for source, target in PAIRS:
        assert {b for _, b in drawn(name, source, target)} == {target}


def test_capitals_stand_on_both_sides_where_the_letters_have_any():
    assert drawn("capitals", "Où est-il ?", "Where is he?") == {("OÙ EST-IL ?", "WHERE IS HE?")}
    assert drawn("capitals", "Who?", "누구세요?") == {("WHO?", "누구세요?")}
    assert drawn("capitals", "누구세요?", "Who is it?") == {("누구세요?", "Who is it?")}
    assert drawn("capitals", "Il a %s.", "He has %s.") == {("Il a %s.", "He has %s.")}


def test_a_text_without_capitals_keeps_its_translation_but_for_a_final_sign():
    found = drawn("lower_case", "Où est Éva ?", "Where is Eva?")
    assert {a for a, _ in found} == {"où est éva ?", "où est éva", "ou est eva ?", "ou est eva"}
    assert all(b == ("Where is Eva?" if a.endswith("?") else "Where is Eva") for a, b in found)


def test_a_final_sign_is_missing_on_both_sides_or_another_or_closer():
    found = drawn("final_signs", "Viens ici !", "Come here!")
    assert {("Viens ici", "Come here"), ("Viens ici!", "Come here!")} <= found
    assert ("Il dort!", "He sleeps!") in drawn("final_signs", "Il dort.", "He sleeps.")
    assert without_end("?") == "?"


def test_accents_go_and_hangul_and_signs_stay():
    assert drawn("accents", "Sœur Éloïse, ça va ? 가각", "x") == {("Soeur Eloise, ca va ? 가각", "x")}


def test_a_korean_text_loses_any_of_its_spaces_another_one():
    found = {a for a, _ in drawn("spaces", "나는 매일 커피를 마신다", "x")}
    assert "나는매일커피를마신다" in found
    assert len(found) == 8
    assert {a for a, _ in drawn("spaces", "Oui, il dort", "x")} == {"Oui,il dort"}


def test_slips_change_few_letters():
    for source, _ in PAIRS[:3]:
        random = np.random.default_rng(1)
        slipped = [VARIATIONS["slips"](source, "x", random)[0] for _ in range(200)]
        changes = [DamerauLevenshtein.distance(source, text) for text in slipped]
        assert len(set(slipped)) > 20
        assert max(changes) <= 6
        assert 0.8 < np.mean(changes) < 2


def test_a_korean_slip_is_another_final_consonant_left_out_doubled_or_swapped():
    found = {a for a, _ in drawn("slips", "커피를", "x", 500)}
    assert {"커피르", "피를", "커커피를", "피커를"} <= found


def test_a_piece_that_stands_on_both_sides_becomes_another():
    random = np.random.default_rng(1)
    for source, target, old in (
        ("Il a %s ans.", "He is %s years old.", "%s"),
        ("Tom a 37 ans.", "Tom is 37 years old.", "37"),
        ("Tom dort.", "Tom sleeps.", "Tom"),
        ("회의는 15분입니다.", "The meeting takes 15 minutes.", "15"),
    ):
        before, after = source.split(old)
        for _ in range(50):
            a, b = copies(source, target, random)
            new = a[len(before) : len(a) - len(after)]
            assert a == before + new + after
            assert b == target.replace(old, new)


def test_a_piece_is_added_to_both_sides_where_none_stands_on_both():
    random = np.random.default_rng(1)
    seen = set()
    for _ in range(500):
        a, b = copies("Il dort.", "He sleeps.", random)
        assert a.replace("Il dort.", "") == b.replace("He sleeps.", "") != ""
        seen.add(a)
    text = " ".join(seen)
    for kind in (r"https?://\S+", r"\S+@\S+\.\w+", r"[A-Z]+[-_]?\d+", PLACEHOLDERS.pattern, "[\U0001f300-\U0001f6ff]"):
        assert re.search(kind, text), kind
