from __future__ import annotations

import codecs

import pytest

from service.documents.document import DocumentError
from service.documents.encoding import decoded


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        ("L'été dernier, la forêt a brûlé.", "utf-8", "utf-8"),
        ("L'été dernier, la forêt a brûlé.", "latin-1", "cp1252"),
        ("« Où ? » — 5 €", "cp1252", "cp1252"),
        ("é", "latin-1", "cp1252"),
        ("ÀÉÈÊ ÇA", "latin-1", "cp1252"),
        ("안녕하세요. 오늘은 날씨가 좋네요.", "cp949", "cp949"),
        ("네", "cp949", "cp949"),
        ("plain", "ascii", "utf-8"),
        ("안녕", "utf-8", "utf-8"),
        ("un deux", "utf-16-le", "utf-16-le"),
        ("un deux", "utf-16-be", "utf-16-be"),
    ],
)
def test_an_encoding_is_found_and_kept(text: str, encoding: str, name: str) -> None:
    data = text.encode(encoding)
    found, how = decoded(data)
    assert (found, how.name) == (text, name)
    assert how.encoded(found) == (data, ())


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_the_mark_at_the_start_is_no_text_and_is_kept(mark: bytes, encoding: str) -> None:
    data = mark + "été".encode(encoding)
    for named in (None, encoding):
        found, how = decoded(data, named)
        assert found == "été"
        assert how.encoded("hé")[0] == mark + "hé".encode(encoding)


def test_an_encoding_may_be_named() -> None:
    assert decoded("Привет".encode("cp1251"), "cp1251")[0] == "Привет"
    with pytest.raises(DocumentError, match="the encoding 'klingon' is unknown"):
        decoded(b"", "klingon")
    with pytest.raises(DocumentError, match=r"it is not utf-8: byte 2 is 0xe9"):
        decoded(b"a\xe9b", "utf-8")


def test_a_page_says_its_own_encoding() -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=cp1250"><p>zażółć'.encode("cp1250")
    assert decoded(page)[0].endswith("zażółć")


def test_a_character_that_the_encoding_has_not_makes_it_utf_8_and_that_is_told() -> None:
    _, how = decoded("café".encode("latin-1"))
    assert how.encoded("커피") == ("커피".encode(), ("written as utf-8: cp1252, in which it was, has no '커'",))


def test_a_character_that_the_encoding_has_not_may_be_spelled_otherwise() -> None:
    _, how = decoded("café".encode("latin-1"))
    assert how.encoded("é커", lambda character: f"&#{ord(character)};") == (b"\xe9&#52964;", ())


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(DocumentError, match="it is no text"):
        decoded(b"\x7fELF\0\0\0\0\1\2")
