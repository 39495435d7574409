"""What a translation leaves as it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.worker.segments.protection import Hidden, hide, protected
from service.worker.segments.segmentation import segmented

# What is protected of a text.
CASES = [
    ("Voir https://exemple.fr/a?b=1&c=é#d.", ["https://exemple.fr/a?b=1&c=é#d"]),
    ("(cf. http://a.b/c_(d)), (http://a.b/c.)", ["http://a.b/c_(d)", "http://a.b/c"]),
    ("www.exemple.fr, puis ftp://x.org/y.", ["www.exemple.fr", "ftp://x.org/y"]),
    ("<https://a.b>", ["<https://a.b>"]),
    ("Écrivez à jean.dupont+tri@exemple.co.uk.", ["jean.dupont+tri@exemple.co.uk"]),
    ("mailto:a@b.fr ou a@b.fr", ["mailto:a@b.fr", "a@b.fr"]),
    ("Lancez `rm -rf /tmp` puis ``a`b``.", ["`rm -rf /tmp`", "``a`b``"]),
    ("Bonjour {name}, {0} {} {{ user.name }} ${total}", ["{name}", "{0} {} {{ user.name }} ${total}"]),
    ("%s a %d fichiers, %1$s, %(count)d, %5.2f %%", ["%s", "%d", "%1$s", "%(count)d", "%5.2f"]),
    ("100% sûr, 20 % de plus, %sure", []),
    ("Cliquez <b>ici</b> et <x id=\"1\"/>.", ["<b>", "</b>", "<x id=\"1\"/>"]),
    ("a < b et c > d", []),
    ("$HOME et $PATH_2", ["$HOME", "$PATH_2"]),
    ("Ouvrez rapport.pdf ou notes-2.v1.txt.", ["rapport.pdf", "notes-2.v1.txt"]),
    ("/usr/bin/env, ~/x.y, ./run.sh et C:\\Temp\\a.txt", ["/usr/bin/env", "~/x.y", "./run.sh", "C:\\Temp\\a.txt"]),
    ("et/ou, 1/2, oui / non", []),
    ("Merci @jean_d et @b ! #Vacances2024 #été", ["@jean_d", "@b", "#Vacances2024 #été"]),
    ("C# est un langage, n° 1", []),
    ("Il coûte 1 234 567,89 € ou 1,234,567.89 $", ["1 234 567,89", "1,234,567.89"]),
    ("1.234.567 et 12 345", ["1.234.567", "12 345"]),
    ("Appelez le +33 1 23 45 67 89 ou le 01 23 45 67 89.", ["+33 1 23 45 67 89", "01 23 45 67 89"]),
    ("Le 2024-05-01, le 12/05/2024 à 12:30:15", ["2024-05-01", "12/05/2024", "12:30:15"]),
    ("Version 2.10.3, IP 192.168.0.1", ["2.10.3", "192.168.0.1"]),
    ("Commande 1234567 du 5 mai, 3 enfants, 3,5 ans, 1999", ["1234567"]),
    ("978-2-07-036822-8", ["978-2-07-036822-8"]),
    ("J'adore 😍👍🏽 ça 👨‍👩‍👧 🇫🇷 1️⃣ !", ["😍👍🏽", "👨‍👩‍👧 🇫🇷 1️⃣"]),
    ("내일 https://a.kr/b 로 오세요 😀", ["https://a.kr/b", "😀"]),
    ("bob@example.com으로 보내세요", ["bob@example.com"]),
    ("https://a.kr/b로, 보고서.pdf를, @bob에게, https://ko.a.org/wiki/한국", ["https://a.kr/b", "보고서.pdf", "@bob", "https://ko.a.org/wiki/한국"]),
    ("Rien à protéger ici, vraiment : rien.", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_what_is_protected(text: str, expected: list[str]) -> None:
    assert [text[piece.start : piece.end] for piece in protected(text)] == expected


def hidden(text: str) -> Hidden:
    return hide(text, protected(text), text)


def test_a_name_or_a_number_stands_in_which_the_text_has_not() -> None:
    found = hidden("Tom a écrit à a@b.fr et marythe@c.de le 2024-05-01.")
    assert found.text == "Tom a écrit à Paul et Anna le 37."
    assert found.originals == (("Paul", "a@b.fr"), ("Anna", "marythe@c.de"), ("37", "2024-05-01"))


def test_a_name_that_the_translation_may_have_does_not_stand_in() -> None:
    assert hidden("톰이 a@b.fr로 썼다").text == "톰이 Mary로 썼다"


def test_there_are_stand_ins_for_any_number_of_pieces() -> None:
    text = " et ".join(f"a{number}@b.fr" for number in range(40))
    found = hidden(text)
    assert len({stand_in for stand_in, _ in found.originals}) == 40
    assert found.restored(found.text) == text


@pytest.mark.parametrize(
    ("translation", "expected"),
    [
        ("Write to Tom tomorrow.", "Write to a@b.fr tomorrow."),
        ("Write to Tom, Tom.", "Write to a@b.fr,."),
        ("Tom's letter", "a@b.fr's letter"),
        ("Tom에게 쓰세요", "a@b.fr에게 쓰세요"),
        ("Write to Tommy.", "Write to a@b.fr."),
        ("Write tomorrow.", "Write tomorrow. a@b.fr"),
        ("", "a@b.fr"),
    ],
)
def test_the_original_comes_back_once_wherever_its_stand_in_is(translation: str, expected: str) -> None:
    assert Hidden("Écrivez à Tom.", (("Tom", "a@b.fr"),)).restored(translation) == expected


@given(
    st.lists(
        st.sampled_from(["https://a.b/c", "a@b.fr", "{x}", "12:30", "#a", "et", "le", "Tom", "37", "😀"]), max_size=12
    )
)
def test_hiding_and_restoring_is_nothing(words: list[str]) -> None:
    text = " ".join(words)
    found = hidden(text)
    assert found.restored(found.text) == text


def test_no_sentence_ends_in_a_piece_and_emoji_end_one() -> None:
    text = "Lancez `a. B` ici. J'adore 🎉 On y va 😀 bientôt. 🎉 Super ! https://a.b/c. 😀"
    found = segmented(text, "fr", "sentences", protected(text))
    assert [each.text for each in found.segments] == ["Lancez `a. B` ici.", "J'adore", "On y va 😀 bientôt.", "Super !"]
    assert [[each.text[p.start : p.end] for p in each.pieces] for each in found.segments] == [
        ["`a. B`"],
        [],
        ["😀"],
        [],
    ]
    assert "".join(each.before + each.text for each in found.segments) + found.after == text


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a@",
        "a.",
        "-a",
        "/a",
        "1 111",
        "+1 ",
        "`a",
        "<a",
        "{",
        "{a",
        "%1",
        "http://.",
        "😀",
        "1-",
        "@a#",
        "1.1",
        "a_",
    ],
)
def test_the_longest_text_is_looked_at_in_a_moment(part: str) -> None:
    began = time.monotonic()
    protected(part * (100_000 // len(part)))
    assert time.monotonic() - began < 5
