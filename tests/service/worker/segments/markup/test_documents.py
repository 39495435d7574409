"""Texts with markup: which sentences are in them, and that all the rest stays byte for byte."""

from __future__ import annotations

import time

import pytest

from service.messages import Elements
from service.worker.segments.markup.document import Document, Translated, parsed, spans
from service.worker.segments.segmentation import Segment

# What is written, and the sentences that are found in it.
HTML: dict[str, tuple[str, list[str]]] = {
    "a paragraph": ("<p>Bonjour. Ça va ?</p>", ["Bonjour.", "Ça va ?"]),
    "text alone": ("Bonjour <b>vous</b>", ["Bonjour vous"]),
    "white space between blocks": ("\n <div>\n\t<p> Un </p>\n\n<p>Deux</p>\n</div>\n", ["Un", "Deux"]),
    "white space within a line": ("<p>Un\n   mot</p>", ["Un mot"]),
    "white space at tags": ("<p>Un <b> gros </b> mot</p>", ["Un gros mot"]),
    "headings": ("<h1>Titre</h1><h2>Sous-titre</h2>Texte", ["Titre", "Sous-titre", "Texte"]),
    "a list without end tags": ("<ul><li>Un<li>Deux <b>gras</b><li>Trois</ul>", ["Un", "Deux gras", "Trois"]),
    "paragraphs without end tags": ("<p>Un<p>Deux<div>Trois</div>", ["Un", "Deux", "Trois"]),
    "nested lists": ("<ul><li>Un<ul><li>Deux<li>Trois</ul><li>Quatre</ul>", ["Un", "Deux", "Trois", "Quatre"]),
    "definitions": ("<dl><dt>Mot<dd>Sens<dt>Autre<dd>Encore</dl>", ["Mot", "Sens", "Autre", "Encore"]),
    "a table": (
        "<table><caption>Prix</caption><thead><tr><th>Nom<th>Prix<tbody><tr><td>Pain<td>2 €</table>",
        ["Prix", "Nom", "Prix", "Pain"],
    ),
    "options": (
        '<select name=a><optgroup label="Fruits"><option value=1 selected>Pomme<option>Poire</select>',
        ["Fruits", "Pomme", "Poire"],
    ),
    "a page": (
        '<!DOCTYPE html>\n<html lang="fr"><head><meta charset=utf-8><title>Page &amp; titre</title>'
        '<meta name="description" content="Une page."><meta name=viewport content="width=device-width">'
        '<link rel=stylesheet href=a.css title="clair"></head><body class=x>Texte</body></html>',
        ["Page & titre", "Une page.", "clair", "Texte"],
    ),
    "a menu": (
        '<nav><ul><li><a href="/">Accueil</a></li><li><a href="/p">Produits</a></li></ul></nav>',
        ["Accueil", "Produits"],
    ),
    "links in a row": (
        '<nav><a href="/">Accueil</a> | <a href="/p">Nos produits</a>\n<a>Contact</a></nav>',
        ["Accueil", "Nos produits", "Contact"],
    ),
    "links in a sentence": ("<p><a>Marie</a> et <a>Paul</a></p>", ["Marie et Paul"]),
    "an e-mail": (
        '<table width="100%" bgcolor="#fff"><tr><td align=center><!--[if mso]><br><![endif]-->'
        '<font face="Arial">Bonjour <b>Jean</b>,<br><br>Votre colis est parti.<br>Merci !</font></td></tr></table>',
        ["Bonjour Jean,", "Votre colis est parti.", "Merci !"],
    ),
    "conditional comments": ("<![if !mso]><p>Oui</p><![endif]>", ["Oui"]),
    "a line break": ("<p>Un vers,<br>un autre<br/>\nle dernier</p>", ["Un vers,", "un autre", "le dernier"]),
    "a line break in a pair": ("<p><b>Un<br>deux</b> trois</p>", ["Un", "deux trois"]),
    "a pair over two sentences": ("<p>Un <b>mot. Deux</b> mots.</p>", ["Un mot.", "Deux mots."]),
    "a pair around sentences": ("<p><b>Un mot. Deux mots.</b></p>", ["Un mot.", "Deux mots."]),
    "attributes": ('<p><img alt="Un chat" title=\'Le "chat"\' src=a.png></p>', ["Un chat", 'Le "chat"']),
    "an attribute without marks": ("<img alt=Photo>", ["Photo"]),
    "an attribute with >": ('<p><a title="a > b" data-x="<p>Non</p>">Lien</a></p>', ["a > b", "Lien"]),
    "an empty attribute": ('<p><img alt=""><input disabled required>Texte</p>', ["Texte"]),
    "an attribute with entities": ('<a title="L&#39;&eacute;t&eacute; &amp; plus">x</a>', ["L'été & plus", "x"]),
    "an attribute with sentences": ('<a title="Un. Deux.">x</a>', ["Un.", "Deux.", "x"]),
    "a form": (
        '<form><label for=n>Nom</label><input id=n placeholder="Votre nom" value="Jean">'
        '<input type=submit value="Envoyer"><button aria-label="Fermer">×</button></form>',
        ["Nom", "Votre nom", "Envoyer", "Fermer"],
    ),
    "a button in a sentence": ("<p>Tapez sur <button>Oui. Non</button> ici</p>", ["Tapez sur Tom ici", "Oui.", "Non"]),
    "a text area": ("<textarea rows=2> Un\n <deux &amp; 3</textarea>", ["Un", "<deux & 3"]),
    "entities": ("<p>Caf&eacute; &lt; th&#233; &amp; l&#x27;eau</p>", ["Café < thé & l'eau"]),
    "entities without a semicolon": ("<p>R&D caf&eacute noir AT&amp;T</p>", ["R&D café noir AT&T"]),
    "unknown entities": ("<p>Bonjour &name; !</p>", ["Bonjour Tom !"]),
    "a space that does not break": ("<p>Un.&nbsp;Deux.</p>", ["Un.", "Deux."]),
    "less than": ("<p>a < b et 3<4 <3</p>", ["a < b et 3<4 <3"]),
    "comments": ("<!-- Non --><p>Un <!-- > --> mot<!----></p><!-->", ["Un mot"]),
    "code": ("<p>Tapez <code>ls -l | a</code> ici.</p>", ["Tapez Tom ici."]),
    "code at an end": ("<p><code>ls</code> liste les fichiers.</p>", ["Tom liste les fichiers."]),
    "keys": ("<p>Appuyez sur <kbd>Ctrl</kbd>+<kbd>C</kbd></p>", ["Appuyez sur Tom+Mary"]),
    "code alone": ("<pre><code>x = 1\ny = deux</code></pre><code>Rien</code>", []),
    "preformatted lines": ("<pre>Un vers\n   deux  vers\n</pre>", ["Un vers", "deux vers"]),
    "scripts and styles": (
        "<script>if (a<b) x='<p>Non</p>'</script><STYLE>p>a{}</STYLE><p>Oui<script>1</script> oui</p>",
        ["Oui oui"],
    ),
    "mathematics": ("<p>Soit <math><mi>x</mi><mo>=</mo></math> donné.</p>", ["Soit Tom donné."]),
    "a drawing": (
        '<p>Le <svg viewBox="0 0 1 1"><title>Logo rouge</title><path d="M0"/><text>Mot</text></svg> est là</p>',
        ["Le Tom est là", "Logo rouge", "Mot"],
    ),
    "a picture at an end": ('<p><img src=a> Bonjour <img src="b"></p>', ["Bonjour"]),
    "a picture in a sentence": ("<p>Le bouton <img src=a> ouvre</p>", ["Le bouton Tom ouvre"]),
    "not to be translated": (
        '<p translate="no">Non <b>non</b></p><div class="a notranslate">Non</div><p translate>Oui</p>',
        ["Oui"],
    ),
    "not to be translated in a sentence": ("<p>Chez <span translate=no>La Poste</span> !</p>", ["Chez Tom !"]),
    "switched on again": (
        "<div translate=no>Non <p translate=yes>Oui <b>bien</b></p> non <span translate=yes>oui</span></div>",
        ["Oui bien", "oui"],
    ),
    "a note": ('<p>Un mot<sup><a href="#1">1</a></sup>, ici.</p>', ["Un mot, ici."]),
    "a formula": ("<p>H<sub>2</sub>O est l'eau</p>", ["H2O est l'eau"]),
    "an ordinal": ("<p>Le 1<sup>er</sup> mai</p>", ["Le 1er mai"]),
    "a place to break": ("<p>anti<wbr>constitution</p>", ["anticonstitution"]),
    "templates": (
        '<p {{ attrs }} class="{% if a %}b{% endif %}">Bonjour {{ user.name }}, <%= x %> !</p><?php if (1): ?>',
        ["Bonjour Tom, Mary !"],
    ),
    "an address": ("<p>Voir <b>https://a.fr/b.html?c=1&amp;d=2</b>. Puis rien.</p>", ["Voir Tom.", "Puis rien."]),
    "custom elements": ("<my-card>Un <x-icon/> mot</my-card>", ["Un Tom mot"]),
    "capitals": ("<P ALIGN=left>Un <B>mot</B></p>", ["Un mot"]),
    "an attribute that ends in a slash": ("<a href=a/b/>Lien</a>", ["Lien"]),
    "ruby": ("<ruby>mot<rp>(</rp><rt>son</ruby>", ["mot(son"]),
    "Korean": ("<p>나는 <b>학생</b>입니다. 너는?</p>", ["나는 학생입니다.", "너는?"]),
    "Chinese": ("<p>你好。<b>你在哪里？</b>我在家。</p>", ["你好。", "你在哪里?", "我在家。"]),
    "nothing": ("<p></p><hr> 12 <br>…", []),
    "empty": ("", []),
}  # fmt: skip
XML: dict[str, tuple[str, list[str]]] = {
    "a document": (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE r [<!ENTITY a "b>">]>\n<r><t>Un</t> <t>Deux</t></r>\n',
        ["Un", "Deux"],
    ),
    "a fragment": ("Bonjour <g id='1'>vous</g> <x id='2'/> tous", ["Bonjour vous Tom tous"]),
    "elements beside elements": ("<r><a1>Un.</a1><b1>Deux</b1></r>", ["Un.", "Deux"]),
    "elements beside text": ("<r>Un <k>deux</k> trois</r>", ["Un deux trois"]),
    "names of HTML's elements that stand alone": ("<r><time>Un</time><data>deux</data></r>", ["Un", "deux"]),
    "inline elements in a paragraph": ("<r><p><b>Un</b> <i>deux</i></p></r>", ["Un deux"]),
    "a mark of the byte order": ('\ufeff<?xml version="1.0"?><r>Un</r>', ["Un"]),
    "both": ("<r><p1>Un <k>deux</k></p1><p1><k>Trois</k><k>quatre</k></p1></r>", ["Un deux", "Trois", "quatre"]),
    "strings of an application": (
        '<resources>\n  <string name="a">Bonjour <xliff:g id="n">%s</xliff:g> !</string>\n'
        '  <string name="b" translatable="false" translate="no">id</string>\n</resources>',
        ["Bonjour Tom !"],
    ),
    "subtitles": ('<p xml:id="s1" begin="1s">Bonjour,<br/>toi.</p>', ["Bonjour,", "toi."]),
    "its": ('<r its:translate="no">Non<k translate="yes">Oui</k></r>', ["Oui"]),
    "white space that is kept": ('<r xml:space="preserve">Un\n  deux</r>', ["Un", "deux"]),
    "a section of characters": ("<r><d><![CDATA[<p>Non</p>]]></d><e>Un <![CDATA[<]]> mot</e></r>", ["Un Tom mot"]),
    "comments and instructions": ("<r><!-- Non --><?pi non?>Un<?pi ?> mot</r>", ["Un mot"]),
    "entities": ("<r>L&apos;eau &lt; l&#8217;air &chose; &amp; le feu</r>", ["L'eau < l’air Tom & le feu"]),
    "attributes": ("<r><i title='Un \"mot\"' name='non' alt=\"a&gt;b\"/>Texte</r>", ['Un "mot"', "a>b", "Texte"]),
    "names with case": ("<R><Ti>Un</Ti><ti>Deux</ti></R>", ["Un", "Deux"]),
    "hypertext": (
        '<html xmlns="http://a.org/xhtml"><body><p>Un <b>mot</b><br />deux <img src="a" alt="A" /></p></body></html>',
        ["Un mot", "deux", "A"],
    ),
    "code": ("<r>Tapez <code>ls</code></r>", ["Tapez Tom"]),
}
CASES = [("html", *case) for case in HTML.items()] + [("xml", *case) for case in XML.items()]


def found(text: str, format: str) -> Document:
    return parsed(text, "xml" if format == "xml" else "html", "zh" if "你" in text else "ko" if "는" in text else "fr")


@pytest.mark.parametrize(("format", "name", "case"), CASES, ids=[f"{format}: {name}" for format, name, _ in CASES])
def test_sentences_are_found_and_the_rest_stays(format: str, name: str, case: tuple[str, list[str]]) -> None:
    text, sentences = case
    document = found(text, format)
    assert [sentence.text for sentence in document.sentences] == sentences
    space = "" if "你" in text else " "
    assert document.written((Translated(each, each.text) for each in document.sentences), space) == text
    assert document.written([]) == text


@pytest.mark.parametrize(("format", "name", "case"), CASES, ids=[f"{format}: {name}" for format, name, _ in CASES])
def test_a_translation_takes_the_place_of_its_sentence_alone(
    format: str, name: str, case: tuple[str, list[str]]
) -> None:
    text, sentences = case
    document = found(text, format)
    written = document.written(
        Translated(each, " ".join(["zzz", *(each.text[piece.start : piece.end] for piece in each.pieces)]))
        for each in document.sentences
    )
    assert written.count("zzz") == len(sentences)
    again = found(written, format)  # and it is well-formed
    assert sum(sentence.text.count("zzz") for sentence in again.sentences) == len(sentences)


@pytest.mark.parametrize(
    ("text", "translation", "written"),
    [
        ("<p>Caf&eacute;</p>", "é & è < é", "<p>&eacute; &amp; è &lt; &eacute;</p>"),
        ("<p>R&D</p>", "R&D & co &lt;", "<p>R&D & co &amp;lt;</p>"),
        ("<p>R&amp;D</p>", "A&B", "<p>A&amp;B</p>"),
        ("<p>un < deux</p>", "one < two <b>", "<p>one < two &lt;b></p>".replace("b>", "b&gt;")),
        ('<img alt="Un">', 'One "1"', '<img alt="One &quot;1&quot;">'),
        ("<img alt='Un'>", 'It\'s "1"', "<img alt='It&#39;s \"1\"'>"),
        ("<img alt=Un>", "One", "<img alt=One>"),
        ("<img alt=Un>", "One more", '<img alt="One more">'),
    ],
)
def test_characters_are_written_as_the_source_writes_them_or_as_they_must(
    text: str, translation: str, written: str
) -> None:
    document = parsed(text, "html", "fr")
    (sentence,) = document.sentences
    assert document.written([Translated(sentence, translation)]) == written


def test_in_xml_nothing_is_left_bare() -> None:
    document = parsed("<r>Un</r>", "xml", "fr")
    assert document.written([Translated(document.sentences[0], "a & b < c > d")]) == "<r>a &amp; b &lt; c &gt; d</r>"


def test_a_piece_is_there_once_whatever_the_translation_has() -> None:
    document = parsed("<p>Tapez <code>ls</code> et <kbd>Entrée</kbd> ici.</p>", "html", "fr")
    (sentence,) = document.sentences
    assert sentence.text == "Tapez Tom et Mary ici."
    for translation, written in (
        ("Type Tom and Mary here.", "Type <code>ls</code> and <kbd>Entrée</kbd> here."),
        ("Mary, then Tom.", "<kbd>Entrée</kbd>, then <code>ls</code>."),
        ("Type Tom Tom here.", "Type <code>ls</code> here. <kbd>Entrée</kbd>"),
        ("Mary's Tomx.", "<kbd>Entrée</kbd>'s <code>ls</code>x."),
    ):
        got = document.written([Translated(sentence, translation)])
        assert got.replace("  ", " ") == f"<p>{written}</p>"


def test_stand_ins_may_be_chosen() -> None:
    document = parsed(
        "<p>Tapez <code>ls</code> !</p>",
        "html",
        "fr",
        stand_ins=lambda text, pieces: [f"X{number}" for number, _ in enumerate(pieces, 1)],
    )
    assert document.sentences[0].text == "Tapez X1 !"


def test_without_protection_addresses_are_text() -> None:
    (sentence,) = parsed("<p>Voir a@b.fr ici</p>", "html", "fr", protect=False).sentences
    assert (sentence.text, sentence.pieces) == ("Voir a@b.fr ici", [])


def test_languages_without_spaces_lose_and_win_them_between_sentences() -> None:
    document = parsed("<p>你好。<b>你好。</b></p>", "html", "zh")
    translated = [Translated(each, "Hello.") for each in document.sentences]
    assert document.written(translated) == "<p>Hello.<b> Hello.</b></p>"
    document = parsed('<p>Un. <b title="Deux">Trois.</b></p>', "html", "fr")
    translated = [Translated(each, "好。") for each in document.sentences]
    assert document.written(translated, space="") == '<p>好。<b title="好。">好。</b></p>'


def test_a_sentence_can_be_cut() -> None:
    text = "<p>Un <b>gros mot, <i>puis</i> un</b> petit</p>"
    document = parsed(text, "html", "fr")
    (sentence,) = document.sentences
    cut = list(sentence.parts(spans([Segment("", "Un gros mot,"), Segment(" ", "puis un petit")])))
    assert [part.text for part in cut] == ["Un gros mot,", "puis un petit"]
    assert document.written(Translated(part, part.text) for part in cut) == text
    written = document.written([Translated(cut[0], "A big word,"), Translated(cut[1], "then a small one")])
    assert written.count("<") == text.count("<")
    assert parsed(written, "html", "en").sentences[0].text == "A big word, then a small one"


def test_what_split_says_holds_for_markup() -> None:
    text = "<p>Un. Deux.</p><p>Trois.</p>"
    for split in ("lines", "none"):
        assert [each.text for each in parsed(text, "html", "fr", split).sentences] == ["Un. Deux.", "Trois."]


N = 100_000
LONG = {
    "<": "<" * N,
    "text": "word " * (N // 5),
    "entities": "&amp" * (N // 4),
    "flat": "<p><b>a</b> b</p>" * (N // 17),
    "nested": "<b>" * (N // 8) + "a" + "</b>" * (N // 8) + " b",
    "nested texts": "<button>a " * (N // 20) + "</button>" * (N // 20),
    "list": "<li>a" * (N // 5),
    "attributes": "<a" + " a=b" * (N // 4) + ">x</a>",
    "pictures": "<img alt=x>" * (N // 11) + " a",
    "points": "a " + "<!---->" * (N // 7) + "b",
    "notes": "a<sup>1</sup>" * (N // 13),
    "spaces": "<p>" + " \n" * (N // 2) + "a</p>",
}


@pytest.mark.parametrize("name", LONG)
def test_the_longest_text_is_read_and_written_in_a_moment(name: str) -> None:
    began = time.monotonic()
    document = parsed(LONG[name], "html", "fr")
    document.written(Translated(each, f"x {each.text[:50]}") for each in document.sentences)
    assert time.monotonic() - began < 15, "twice the length would take twice the time, not four times"


@pytest.mark.parametrize(
    ("known", "sentences"),
    [
        (Elements(), ["Un deux trois", "quatre"]),
        (Elements(kept=("keep",)), ["Un Tom trois", "quatre"]),
        (Elements(kept=("p",)), []),
        (Elements(blocks=("keep",)), ["Un", "deux", "trois", "quatre"]),
        (Elements(inlines=("p",)), ["Un deux troisquatre"]),
        (Elements(kept=("keep",), blocks=("keep",)), ["Un", "trois", "quatre"]),
    ],
)
@pytest.mark.parametrize("format", ["html", "xml"])
def test_elements_are_what_the_request_says_before_what_their_names_say(
    format: str, known: Elements, sentences: list[str]
) -> None:
    text = "<div><p>Un <keep>deux</keep> trois</p><p>quatre</p></div>"
    document = parsed(text, format, "fr", known=known)
    assert [sentence.text for sentence in document.sentences] == sentences
    assert document.written([]) == text
