import json
import threading
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Inner
from tokenizers import decoders, models, pre_tokenizers

import models as package
from models import formats
from models.tokenizer import (
    LONGEST_LEARNED,
    SPECIAL_TOKENS,
    Tokenizer,
    TokenizerError,
    _without_endless_words,
    train_byte_bpe,
    train_wordpiece,
)

TEXTS = ["the cat sat on the mat", "le chat est sur le tapis", "고양이가 매트 위에 앉았다", "정말 재미있는 영화"] * 3
SPECIALS = (*SPECIAL_TOKENS, "<2en>", "<2fr>", "<2ko>")


def byte_level() -> Tokenizer:
    return train_byte_bpe(TEXTS, 340, SPECIALS, ["<rating:1>", "<rating:10>"])


def without_nfc(tokenizer: Tokenizer) -> Tokenizer:
    """As vocabularies were that learned from NFKC text: their files have no NFC."""
    values = json.loads(tokenizer._inner.to_str())
    normalizer = values["normalizer"]
    values["normalizer"] = None if normalizer["type"] == "NFC" else normalizer["normalizers"][-1]
    return Tokenizer(Inner.from_str(json.dumps(values)))


def byte_fallback() -> Tokenizer:
    """The shape of Llama's and OPUS-MT's: words begin with a mark, and unknown characters fall back to bytes."""
    pieces = ["<unk>", *[f"<0x{byte:02X}>" for byte in range(256)], "▁", "▁the", "▁cat", "s", "at", "▁고", "양이"]
    inner = Inner(models.BPE({piece: n for n, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Tokenizer(inner)


BYTE_LEVEL, BYTE_FALLBACK = byte_level(), byte_fallback()
WORDPIECE = train_wordpiece(TEXTS, 120)
OLD_BYTE_LEVEL = without_nfc(BYTE_LEVEL)
SHIPPED = sorted((Path(package.__file__).parent / "checkpoints").glob("*/*/tokenizer.json"))
TYPED = st.text("ㅋㅠㅇㅎㄳㅄㆍ 큐휴재밌다 <rating:9>é!", max_size=20).map(formats.normalize)


def streamed(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    detokenizer = tokenizer.detokenizer()
    return [*(detokenizer.push(id) for id in ids), detokenizer.flush()]


def test_special_tokens_take_the_first_ids_and_control_tokens_the_last():
    assert [BYTE_LEVEL.id(token) for token in SPECIALS] == [0, 1, 2, 3, 4, 5, 6]
    assert [BYTE_LEVEL.id("<rating:1>"), BYTE_LEVEL.id("<rating:10>")] == [
        BYTE_LEVEL.vocab_size - 2,
        BYTE_LEVEL.vocab_size - 1,
    ]
    assert [WORDPIECE.id(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")] == [0, 1, 2, 3, 4]


@given(st.text())
def test_any_normalized_text_survives_byte_level_encoding(text: str):
    text = formats.normalize(text)
    assert BYTE_LEVEL.decode(BYTE_LEVEL.encode(text)) == text.encode("utf-8", "replace").decode()


@given(TYPED)
def test_letters_that_stand_alone_come_back_as_they_were_typed(text: str):
    control = text.replace("<rating:9>", "")
    assert BYTE_LEVEL.decode(BYTE_LEVEL.encode(control)) == control
    loaded = Tokenizer(Inner.from_str(BYTE_LEVEL._inner.to_str()))
    assert loaded.encode(text) == BYTE_LEVEL.encode(text)


def test_words_of_letters_are_learned_as_they_are_typed():
    tokenizer = train_wordpiece([formats.normalize(text) for text in ("재밌다ㅋㅋ", "ㅠㅠ ㅋㅋ")] * 3, 60)
    assert tokenizer.has("ㅋㅋ")
    assert tokenizer.decode(tokenizer.encode("ㅋㅋ ㅠㅠ")) == "ㅋㅋ ㅠㅠ"


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, OLD_BYTE_LEVEL, WORDPIECE], ids=["new", "old", "wordpiece"])
def test_syllables_that_a_mac_took_apart_are_read_composed(tokenizer: Tokenizer):
    apart = unicodedata.normalize("NFD", "고양이가 앉았다")
    assert tokenizer.encode(formats.normalize(apart)) == tokenizer.encode("고양이가 앉았다")


@given(TYPED)
def test_a_vocabulary_that_learned_from_nfkc_text_still_reads_nfkc(text: str):
    expected = OLD_BYTE_LEVEL._inner.encode(unicodedata.normalize("NFKC", text), add_special_tokens=False).ids
    assert OLD_BYTE_LEVEL.encode(text) == expected
    assert OLD_BYTE_LEVEL.encode_batch([text]) == [expected]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parts[-3])
def test_shipped_vocabularies_read_what_they_read_and_write_letters_as_they_are_typed(path: Path):
    tokenizer, inner = Tokenizer.load(path), Inner.from_file(str(path))
    for text in ("ㅋㅋㅋ 진짜 재밌다ㅠㅠ", "ㅇㅇ ㅎㄷㄷ", "ㅋㅋㅠㅠ", "Où est la gare ?"):
        normal = formats.normalize(text)
        learned_from = normal if tokenizer._reads_typed_letters else unicodedata.normalize("NFKC", text)
        expected = inner.encode(learned_from, add_special_tokens=False).ids
        assert tokenizer.encode(normal) == expected
        if tokenizer._is_byte_level and "ㅋㅠ" not in text:
            assert tokenizer.decode(expected) == normal
            assert "".join(streamed(tokenizer, expected)) == normal


def test_special_tokens_written_by_a_user_are_plain_text():
    ids = BYTE_LEVEL.encode("</s><2en> <pad>")
    assert min(ids) >= len(SPECIALS)
    assert BYTE_LEVEL.decode(ids) == "</s><2en> <pad>"


def test_special_tokens_are_still_plain_text_after_saving_and_loading(tmp_path):
    BYTE_LEVEL.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    for text in ("</s> cat", "<rating:10>고양이"):
        assert loaded.encode(text) == BYTE_LEVEL.encode(text)


def test_control_tokens_are_recognised_in_text():
    ids = BYTE_LEVEL.encode("<rating:10>고양이")
    assert ids[0] == BYTE_LEVEL.id("<rating:10>")
    assert BYTE_LEVEL.decode(ids) == "고양이"


def test_decoding_leaves_special_and_control_tokens_out():
    ids = [1, *BYTE_LEVEL.encode("the cat"), BYTE_LEVEL.id("<rating:1>"), 2, 0]
    assert BYTE_LEVEL.decode(ids) == "the cat"


def test_a_batch_is_encoded_like_its_texts():
    assert BYTE_LEVEL.encode_batch(TEXTS) == [BYTE_LEVEL.encode(text) for text in TEXTS]


def test_an_unknown_token_is_named():
    assert not BYTE_LEVEL.has("<2de>")
    with pytest.raises(TokenizerError, match="no token '<2de>'"):
        BYTE_LEVEL.id("<2de>")


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    with pytest.raises(TokenizerError, match=r"tokenizer.json: no such"):
        Tokenizer.load(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"tokenizer.json: not a tokenizer"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(TokenizerError, match="vocab_size is 100, expected at least 260"):
        train_byte_bpe(TEXTS, 100)


def test_wordpiece_keeps_hangul_syllables_whole():
    assert WORDPIECE.decode(WORDPIECE.encode("고양이가 앉았다")) == "고양이가 앉았다"


@given(st.lists(st.integers(0, BYTE_LEVEL.vocab_size + 2)))
def test_byte_level_pieces_join_to_the_whole_even_where_the_bytes_are_not_utf8(ids: list[int]):
    assert "".join(streamed(BYTE_LEVEL, ids)) == BYTE_LEVEL.decode(ids)


@given(st.text(alphabet="고양이가 cat é👩‍👧‍👦🇰🇷e\u0301\ufffd", max_size=30), st.integers(0, 40))
def test_no_piece_holds_half_a_character(text: str, cut: int):
    text = unicodedata.normalize("NFC", text)
    ids = BYTE_LEVEL.encode(text)
    pieces = streamed(BYTE_LEVEL, ids)
    assert "".join(pieces) == text
    detokenizer = BYTE_LEVEL.detokenizer()
    assert text.startswith("".join(detokenizer.push(id) for id in ids[:cut]))


@given(st.lists(st.integers(0, OLD_BYTE_LEVEL.vocab_size - 1)), TYPED)
def test_old_byte_level_pieces_join_to_the_whole(ids: list[int], text: str):
    ids = [*ids, *OLD_BYTE_LEVEL.encode(text), *ids]
    assert "".join(streamed(OLD_BYTE_LEVEL, ids)) == OLD_BYTE_LEVEL.decode(ids)


OTHERS = [BYTE_FALLBACK, WORDPIECE, without_nfc(WORDPIECE)]


@pytest.mark.parametrize("tokenizer", OTHERS, ids=["byte fallback", "wordpiece", "old wordpiece"])
@settings(max_examples=150)
@given(data=st.data())
def test_pieces_of_other_vocabularies_join_to_the_whole(tokenizer: Tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    assert "".join(streamed(tokenizer, ids)) == tokenizer.decode(ids)


def test_spaces_between_words_are_streamed_with_the_word_that_follows():
    ids = [BYTE_FALLBACK.id(token) for token in ("▁the", "▁cat", "s", "▁고", "양이")]
    assert streamed(BYTE_FALLBACK, ids) == ["the", " cat", "s", " 고", "양이", ""]


def test_the_cost_of_a_push_does_not_grow_with_what_came_before(monkeypatch):
    longest = 0
    decode = Tokenizer.decode

    def counting(self, ids):
        nonlocal longest
        longest = max(longest, len(ids))
        return decode(self, ids)

    monkeypatch.setattr(Tokenizer, "decode", counting)
    streamed(BYTE_FALLBACK, [BYTE_FALLBACK.id("▁cat")] * 500)
    assert 0 < longest <= 2


def test_other_threads_run_while_a_long_text_is_tokenized():
    tokenizer = train_byte_bpe(["a b"], 260)
    turns, over = 0, False

    def other() -> None:
        nonlocal turns
        while not over:
            turns += 1
            time.sleep(0.0001)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        before = turns
        tokenizer.encode("a b " * 200_000)
        assert turns - before > 10
    finally:
        over = True
        thread.join()


@pytest.mark.parametrize("train", [train_byte_bpe, train_wordpiece])
def test_a_vocabulary_is_learned_from_the_parts_of_an_endless_word(train):
    """In one piece it would take the square of its length: the ends of two parts are never seen side by side."""
    part = "z" + "x" * (LONGEST_LEARNED - 2) + "q"

    def learned(text: str) -> str:
        return " ".join(json.loads(train([text], 2000).definition)["model"]["vocab"]).replace("##", "")

    assert "zxx" in learned(part * 5)
    assert "xxq" in learned(part * 5)
    assert "qz" not in learned(part * 5)
    assert "qz" in learned("aqz aqz aqz")


def test_only_an_endless_word_is_cut_for_learning_and_nothing_of_it_is_lost():
    texts = ["", "some words", "x" * (LONGEST_LEARNED - 1) + " y", "a b" + "c" * 2 * LONGEST_LEARNED + "d e"]
    found = list(_without_endless_words(texts))
    assert found[:3] == texts[:3]
    assert "".join(found[3:]) == texts[3]
    assert max(len(word) for text in found for word in text.split()) == LONGEST_LEARNED
