from __future__ import annotations

import re
from pathlib import Path

import pyromark
import pytest

from service.documents.document import Source, Text
from service.documents.markdown import _OPTIONS, pieces
from tests.service.documents.changing import changed, shouted

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

EVERYTHING = """\
---
title: intact
---
# Titre *fort* `code`

Un [lien **gras**](http://x.y "titre") et ![une image](a.png) et <b>html</b> \\* &amp; fin\u0020\u0020
dur `a b` <http://auto.link> [ref][r] [r] [r][] note[^1]

> cite
> encore ~~barré~~

- [ ] un
  suite
- deux

  trois

1. a
2. b

| mot | b\\|c |
|---|--:|
| `x` | *deux* trois |

```py
code = "intact"
```

    code

<div>
bloc
</div>

[r]: http://ref "intact"

[^1]: Note ici.

Souligné
--------
"""
SHOUTED = """\
---
title: intact
---
# TITRE *FORT* `code`

UN [LIEN **GRAS**](http://x.y "titre") ET ![UNE IMAGE](a.png) ET <b>HTML</b> \\* &amp; FIN\u0020\u0020
DUR `a b` <http://auto.link> [REF][r] [R][r] [R][r] NOTE[^1]

> CITE
> ENCORE ~~BARRÉ~~

- [ ] UN
  SUITE
- DEUX

  TROIS

1. A
2. B

| MOT | B\\|C |
|---|--:|
| `x` | *DEUX* TROIS |

```py
code = "intact"
```

    code

<div>
BLOC
</div>

[r]: http://ref "intact"

[^1]: NOTE ICI.

SOULIGNÉ
--------
"""


def structure(source: str) -> list[str]:
    """What the parser finds but words, and breaks between them."""
    events = pyromark.events(source, options=_OPTIONS)
    return [f"{event}" for event in events if not ("Text" in event or event == "SoftBreak")]


def test_texts_change_and_nothing_else() -> None:
    assert changed(pieces, EVERYTHING)[1] == SHOUTED
    assert changed(pieces, EVERYTHING.replace("\n", "\r\n"))[1] == SHOUTED.replace("\n", "\r\n")


def test_a_paragraph_is_one_text_with_its_markup_in_tags() -> None:
    texts, _ = changed(pieces, "Lancez `make`\npuis **ouvrez**\nla [page](u).\n")
    assert texts == ['Lancez <code id="1"></code> puis <strong id="2">ouvrez</strong> la <a id="3">page</a>.']


def test_a_line_that_breaks_hard_is_a_text_of_its_own() -> None:
    assert changed(pieces, "un  \ndeux\\\ntrois<br>quatre\n")[0] == ["un", "deux", "trois", "quatre"]


def test_a_wrapped_paragraph_has_as_many_lines_again() -> None:
    _, written = changed(pieces, "> un deux trois\n> quatre\n", lambda text: "one two three four five six seven")
    assert written == "> one two three four five\n> six seven\n"


@pytest.mark.parametrize(
    ("source", "translation", "written"),
    [
        ("un\n", "1. one", "1\\. one\n"),
        ("un\n", "- one", "\\- one\n"),
        ("un\n", "# one", "\\# one\n"),
        ("un\n", "a * b [c] `d` <e>", "a \\* b \\[c\\] \\`d\\` \\<e>\n"),
        ("un * deux\n", "one * two", "one * two\n"),
        ("mot_un\n", "word_one", "word_one\n"),
        ("# un\n", "1. one", "# 1. one\n"),
        ("|un|\n|-|\n", "a | b", "|a \\| b|\n|-|\n"),
        ("un deux\ntrois quatre\n", "one two - three", "one two\n\\- three\n"),
        ("**[x]** un\n", "<strong>", "**[x]** un\n"),
    ],
)
def test_what_a_translation_says_is_no_markup(source: str, translation: str, written: str) -> None:
    found = Source(source, pieces(source))
    assert found.written([translation] * len(found.pieces))[0] == written


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("<details>\n<summary>plus</summary>\n\nun *mot*.\n\n</details>\n", ["plus", "un <1>mot</1>."]),
        ('<p align="center">\n  <img src="a.png" alt="un chat">\n  bonjour\n</p>\n\nà\n', None),
        ("<!-- commentaire -->\n\nà\n", ["à"]),
        ("<script>\nvar a\n</script>\n\nà\n", ["à"]),
        ("> <p>un mot\n> encore</p>\n", []),  # what is between the lines is none of it
        ("- <div>liste\n  de choses</div>\n", []),
    ],
)
def test_a_block_of_html_is_read_as_html_is(source: str, texts: list[str] | None) -> None:
    found, written = changed(pieces, source)
    if texts is None:
        expected = ['<p align="center">', 'alt="UN CHAT"', "BONJOUR", "\nÀ\n"]
        assert all(part in written for part in expected)
    else:
        assert [re.sub(r"<(/?)\w+[^>]*>", r"<\g<1>1>", text) for text in found] == texts
        plain = [part for text in texts for part in re.split(r"</?1>", text)]
        expected_text = source
        for part in plain:
            expected_text = expected_text.replace(part, part.upper()) if part else expected_text
        assert written == expected_text


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
@pytest.mark.parametrize("before", ["", "1. * [x] `y` | # "])
def test_a_page_has_the_same_structure_in_another_language(page: Path, before: str) -> None:
    source = page.read_text(encoding="utf-8")

    def change(text: Text) -> str:
        return before + shouted(text)

    found = Source(source, pieces(source))
    written, problems = found.written([change(piece.text) for piece in found.pieces])
    assert problems == []
    assert structure(written) == structure(source)
    assert written.count("\n") == source.count("\n")
