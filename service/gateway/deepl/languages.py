"""Languages as DeepL has them: codes in capitals, and two kinds each of English and Portuguese as targets.

Its client refuses to ask for a target that is just EN or PT. A model that tells no kinds apart takes both for the one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from service.gateway.languages import Pair
from service.iso639 import english_name, language_and_variant

_KINDS = {
    "EN": {"EN-GB": "English (British)", "EN-US": "English (American)"},
    "PT": {"PT-BR": "Portuguese (Brazilian)", "PT-PT": "Portuguese (European)"},
}


class DeeplLanguage(BaseModel):
    language: str
    name: str
    supports_formality: bool | None = None


class DeeplPair(BaseModel):
    source_lang: str
    target_lang: str


class DeeplPairs(BaseModel):
    supported_languages: list[DeeplPair]


def base_code(code: str) -> str:
    return language_and_variant(code)[0].upper()


def target_codes(code: str) -> dict[str, str]:
    """What a model's language is as a target, and how it is called."""
    base, variant = base_code(code), language_and_variant(code)[1]
    if not variant and base in _KINDS:
        return _KINDS[base]
    tells = len(variant) == 2 or base == "ZH"
    return {f"{base}-{variant.upper()}" if variant and tells else base: english_name(code)}


def source_languages(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    names = {base_code(source): english_name(base_code(source)) for source, _ in pairs}
    return [{"language": code, "name": name} for code, name in names.items()]


def target_languages(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    names = {code: name for _, target in pairs for code, name in target_codes(target).items()}
    return [{"language": code, "name": name, "supports_formality": False} for code, name in names.items()]


def base_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    return list(dict.fromkeys((base_code(source), base_code(target)) for source, target in pairs))
