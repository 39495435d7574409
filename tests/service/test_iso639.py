from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.iso639 import direction, english_name, language_and_variant


@pytest.mark.parametrize("asked", ["fr", "FR", "fra", "fre", "French", "FRENCH", "french ", "Fre"])
def test_a_language_has_many_names(asked: str) -> None:
    assert language_and_variant(asked) == ("fr", "")


@pytest.mark.parametrize(
    ("asked", "language", "variant"),
    [
        ("fra_Latn", "fr", "latn"),  # NLLB's
        ("fr_XX", "fr", "xx"),  # mBART's
        ("fr-CA", "fr", "ca"),
        ("sr-Cyrl-RS", "sr", "cyrl-rs"),
        ("arb_Arab", "ar", "arab"),  # the one variety that NLLB has of a language that is many
        ("zho_Hans", "zh", "hans"),
        ("zh_CN", "zh", "hans"),
        ("zh-TW", "zh", "hant"),
        ("zh-Hant-HK", "zh", "hant"),
        ("ces_Latn", "cs", "latn"),
        ("cze", "cs", ""),
        ("nob", "no", ""),
        ("nn", "nn", ""),
        ("iw", "he", ""),
        ("Greek", "el", ""),
        ("norwegian  bokmål", "no", ""),
        ("Scottish Gaelic", "gd", ""),
        ("Farsi", "fa", ""),
        ("Castilian", "es", ""),
    ],
)
def test_codes_say_a_script_or_a_region_besides(asked: str, language: str, variant: str) -> None:
    assert language_and_variant(asked) == (language, variant)


def test_a_language_without_a_code_of_two_letters_is_known_by_its_own() -> None:
    assert language_and_variant("ceb_Latn") == language_and_variant("CEB-latn") == ("ceb", "latn")


@given(st.text())
def test_anything_at_all_is_some_language(asked: str) -> None:
    language, variant = language_and_variant(asked)
    assert isinstance(language, str)
    assert isinstance(variant, str)


def test_a_name_of_any_length_costs_no_more_than_a_short_one() -> None:
    assert len("".join(language_and_variant("x-" * 500_000))) < 200


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("fr", "French"),
        ("FRE", "French"),
        ("zh-Hant", "Chinese (traditional)"),
        ("zh_CN", "Chinese (simplified)"),
        ("pt_BR", "Portuguese (BR)"),
        ("fra_Latn", "French (Latn)"),
        ("tlh", "tlh"),
        ("tlh-Latn", "tlh-Latn"),
    ],
)
def test_a_language_is_called_by_its_english_name(code: str, name: str) -> None:
    assert english_name(code) == name


@pytest.mark.parametrize(("code", "said"), [("fr", "ltr"), ("ara", "rtl"), ("he_IL", "rtl"), ("xyz", "ltr")])
def test_a_language_is_written_in_a_direction(code: str, said: str) -> None:
    assert direction(code) == said
