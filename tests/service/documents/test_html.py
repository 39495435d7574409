from __future__ import annotations

import pytest

from service.documents.html import pieces
from tests.service.documents.changing import changed

PAGE = """\
<!DOCTYPE html>
<html><head><title>Titre &amp; co</title><meta name="description" content="Une page"><meta name=x content="intact">
<style>p{color:red}</style><script>var a="<p>intact</p>";</script></head>
<body class="intact"><!-- intact -->
<p title="l'infobulle">Un <a href="x?a=1&b=2">lien
   long</a> et du <code>code <b>x</b></code> &eacute;t&eacute; AT&T<br>
ligne deux <img src=a.png alt="Une image"/> fin.
<ul><li>un<li>deux <b>gras</ul>
<pre>reste <b>ici</b></pre> <span translate="no">Marque <span>x</span></span> suit
<p>fin
"""
SHOUTED = """\
<!DOCTYPE html>
<html><head><title>TITRE &amp; CO</title><meta name="description" content="UNE PAGE"><meta name=x content="intact">
<style>p{color:red}</style><script>var a="<p>intact</p>";</script></head>
<body class="intact"><!-- intact -->
<p title="L'INFOBULLE">UN <a href="x?a=1&b=2">LIEN
   LONG</a> ET DU <code>code <b>x</b></code> ÉTÉ AT&T<br>
LIGNE DEUX <img src=a.png alt="UNE IMAGE"/> FIN.
<ul><li>UN<li>DEUX <b>GRAS</ul>
<pre>reste <b>ici</b></pre> <span translate="no">Marque <span>x</span></span> SUIT
<p>FIN
"""


def test_texts_and_descriptions_change_and_nothing_else() -> None:
    assert changed(pieces, PAGE)[1] == SHOUTED


def test_a_block_is_one_text_with_its_inline_tags() -> None:
    texts, _ = changed(pieces, "<div>Un <b class=x>mot</b> et <code>x</code> ici<p>deux</p></div>")
    assert texts == ['Un <b id="1">mot</b> et <code id="2"></code> ici', "deux"]


@pytest.mark.parametrize(
    ("source", "translation", "written"),
    [
        ("<p>un</p>", "a < b & c", "<p>a &lt; b &amp; c</p>"),
        ("<p>un & deux</p>", "one & two", "<p>one & two</p>"),
        ("<p>un&nbsp;: deux</p>", "one\xa0: two", "<p>one&nbsp;: two</p>"),
        ("<img alt='un'>", "it's", "<img alt='it&#39;s'>"),
        ('<img alt="un">', 'a "b"', '<img alt="a &quot;b&quot;">'),
        ("<p>1 < 2 deux", "1 < 2 two", "<p>1 < 2 two"),
        ("<p>un", "one", "<p>one"),
    ],
)
def test_a_translation_is_spelled_as_html(source: str, translation: str, written: str) -> None:
    assert changed(pieces, source, lambda text: translation)[1] == written
