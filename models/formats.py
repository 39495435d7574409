"""How text becomes ids for each task, in one place, so that training and serving cannot disagree.

Knows nothing of models or requests; limits on length are checked where the limit is known.
"""

from __future__ import annotations

import re
import unicodedata

from models import hangul
from models.tokenizer import Tokenizer

COMPOSED = 4  # characters that NFKC makes one of, at most: a Greek letter and three marks
LAST_MARK = 0x1FFFF  # Unicode has no combining marks beyond it
MARKS_IN_A_ROW = 30  # of which NFKC takes the time of the square
# What has no combining class itself but begins with a mark once it is taken apart.
_BEGIN_WITH_A_MARK = "\u0f73\u0f75\u0f81\uff9e\uff9f"
_MARKS = _BEGIN_WITH_A_MARK + "".join(filter(unicodedata.combining, map(chr, range(LAST_MARK))))
_MORE_MARKS = re.compile(f"[{_MARKS}]{{{MARKS_IN_A_ROW}}}(?=[{_MARKS}])")
_JOINER = "\u034f"  # COMBINING GRAPHEME JOINER, which no mark is sorted past


def normalize(text: str) -> str:
    """NFKC, and every run of white space one space, none at the ends; Korean letters stay as they are typed (ㅋㅋ).

    More than 30 combining marks in a row are parted as Unicode's stream-safe format has it (UAX #15, section 13), so
    that the time grows with the length of the text alone.
    """
    if not text.isascii():
        text = hangul.compose(_MORE_MARKS.sub(rf"\g<0>{_JOINER}", text))
    return " ".join(text.split())


def most_characters(tokenizer: Tokenizer, tokens: int) -> int:
    """What a text may have before it is read: one with more characters has more than `tokens` tokens.

    Exact for byte-level vocabularies and texts whose white space is single spaces: each character left by `normalize`
    belongs to a token, and at most `COMPOSED` of the text became one. White space counts here although runs of it are
    folded, and so do words that are too long for a vocabulary of words to look at: the bound is generous to any text
    that is not made to meet it.
    """
    return COMPOSED * tokens * tokenizer.longest_token


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
