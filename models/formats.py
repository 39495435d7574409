"""How text becomes ids for each task, in one place, so that training and serving cannot disagree.

Knows nothing of models or requests; limits on length are checked where the limit is known.
"""

from __future__ import annotations

import unicodedata

from models.tokenizer import Tokenizer


def normalize(text: str) -> str:
    """NFKC, and every run of white space one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def language_tag(language: str) -> str:
    """The token that says which language to translate into: `<2en>`."""
    return f"<2{language}>"


def translation_source(tokenizer: Tokenizer, text: str, target_language: str) -> list[int]:
    """The target language's tag, the text, the end token.

    One model for many directions, told by a tag in front of the source: Johnson et al. 2017, "Google's multilingual
    neural machine translation system". Raises TokenizerError for a language the vocabulary has no tag for.
    """
    return [tokenizer.id(language_tag(target_language)), *tokenizer.encode(normalize(text)), tokenizer.id("</s>")]


def translation_target(tokenizer: Tokenizer, text: str) -> list[int]:
    """The text and the end token: what the decoder should say. Its first input, the start token, is not part of it."""
    return [*tokenizer.encode(normalize(text)), tokenizer.id("</s>")]


def generation_prompt(tokenizer: Tokenizer, text: str) -> list[int]:
    """The start token and the text; control tokens in the text (`<rating:9>`) become single tokens."""
    return [tokenizer.id("<s>"), *tokenizer.encode(normalize(text))]


def classification_prompt(tokenizer: Tokenizer, text: str, pair: str | None = None) -> tuple[list[int], list[int]]:
    """Ids `[CLS] text [SEP]` or `[CLS] text [SEP] pair [SEP]`, and each one's segment, 0 or 1 (Devlin et al. 2019)."""
    separator = tokenizer.id("[SEP]")
    first = [tokenizer.id("[CLS]"), *tokenizer.encode(normalize(text)), separator]
    second = [] if pair is None else [*tokenizer.encode(normalize(pair)), separator]
    return first + second, [0] * len(first) + [1] * len(second)
