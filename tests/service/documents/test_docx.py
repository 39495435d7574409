from __future__ import annotations

import io
import zipfile
from xml.etree import ElementTree

import pytest

from service.documents import docx
from service.documents.document import DocumentError
from tests.service.documents.changing import shouted

BOLD = "<w:rPr><w:b/></w:rPr>"
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<w:{0} xmlns:w="urn:w" xmlns:r="urn:r">{1}</w:{0}>'
NOTE = '<w:r><w:footnoteReference w:id="1"/></w:r>'
BODY = (
    '<w:body><w:p w:id="a>b"><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Titre &amp; co</w:t></w:r></w:p>'
    f"<w:tbl><w:tr><w:tc><w:p><w:r>{BOLD}<w:t>Cellule</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
    f"<w:p><w:r><w:t>Un </w:t></w:r><w:r>{BOLD}<w:t>gr</w:t></w:r><w:proofErr/><w:r>{BOLD}<w:t>as</w:t></w:r>"
    f"<w:r><w:t> et la fin</w:t></w:r>{NOTE}<w:r><w:t>.</w:t></w:r></w:p>"
    '<w:p><w:hyperlink r:id="x"><w:r><w:t>lien</w:t></w:r></w:hyperlink>'
    "<w:r><w:t> ici</w:t><w:br/><w:t>suite</w:t></w:r></w:p>"
    "<w:p/><w:sectPr/></w:body>"
)
PARTS = {
    "[Content_Types].xml": b"<Types/>",
    "word/document.xml": XML.format("document", BODY).encode(),
    "word/header1.xml": XML.format("hdr", "<w:p><w:r><w:t>En-t\u00eate</w:t></w:r></w:p>").encode(),
    "word/footnotes.xml": XML.format("footnotes", "<w:p><w:r><w:t>Une note</w:t></w:r></w:p>").encode(),
    "word/styles.xml": b"<w:styles>texte</w:styles>",
    "word/media/image1.png": b"\x89PNG\0",
}


def archive(parts: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return file.getvalue()


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as read:
        return {name: read.read(name) for name in read.namelist()}


def translated(parts: dict[str, bytes]) -> dict[str, bytes]:
    document = docx.document(archive(parts))
    written = document.written([shouted(text) for text in document.texts])
    assert written.problems == ()
    return parts_of(written.data)


def body(content: str) -> str:
    """A paragraph's content, once translated."""
    parts = PARTS | {"word/document.xml": XML.format("document", f"<w:p>{content}</w:p>").encode()}
    xml = translated(parts)["word/document.xml"].decode()
    return xml.partition("<w:p>")[2].partition("</w:p></w:document>")[0]


def said(text: str, properties: str = "") -> str:
    return f'<w:r>{properties}<w:t xml:space="preserve">{text}</w:t></w:r>'


def test_a_paragraph_is_one_text_wherever_it_stands() -> None:
    assert [(text.text, text.place) for text in docx.document(archive(PARTS)).texts] == [
        ("Titre & co", "word/document.xml, paragraph 1"),
        ("Cellule", "word/document.xml, paragraph 2"),
        ('Un <span id="1">gras</span> et la fin<img id="2">.', "word/document.xml, paragraph 3"),
        ('<a id="1">lien</a> ici<br id="2">suite', "word/document.xml, paragraph 4"),
        ("En-t\u00eate", "word/header1.xml, paragraph 1"),
        ("Une note", "word/footnotes.xml, paragraph 1"),
    ]


def test_parts_without_text_stay_and_the_others_are_sound() -> None:
    written = translated(PARTS)
    changed = {name for name, content in written.items() if content != PARTS[name]}
    assert changed == {"word/document.xml", "word/header1.xml", "word/footnotes.xml"}
    for name in changed:
        ElementTree.fromstring(written[name])
    assert list(written) == list(PARTS)
    assert '<w:t xml:space="preserve">TITRE &amp; CO</w:t>' in written["word/document.xml"].decode()


def test_formatting_within_a_paragraph_stays_with_its_words() -> None:
    content = f"<w:pPr/><w:r><w:t>Un mot </w:t></w:r><w:r>{BOLD}<w:t>gras</w:t></w:r><w:r><w:t> ici</w:t></w:r>"
    assert body(content) == "<w:pPr/>" + said("UN MOT ") + said("GRAS", BOLD) + said(" ICI")


def test_a_paragraph_formatted_throughout_has_no_tags() -> None:
    content = f"<w:r>{BOLD}<w:t>Un </w:t></w:r><w:r>{BOLD}<w:lastRenderedPageBreak/><w:t>deux</w:t></w:r>"
    assert body(content) == said("UN DEUX", BOLD)


def test_what_is_in_a_run_besides_text_stays_in_a_run_of_its_own() -> None:
    content = "<w:r><w:t>Nom :</w:t><w:tab/><w:t>un</w:t></w:r>"
    assert body(content) == said("NOM :") + "<w:r><w:tab/></w:r>" + said("UN")


def test_links_fields_marks_and_deleted_text_stay() -> None:
    field = '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'
    deleted = "<w:del><w:r><w:delText>non</w:delText></w:r></w:del>"
    content = (
        f'<w:hyperlink r:id="x"><w:r><w:t>lien</w:t></w:r></w:hyperlink>{deleted}{field}<w:r><w:t> ici</w:t></w:r>'
    )
    assert body(content) == f'<w:hyperlink r:id="x">{said("LIEN")}</w:hyperlink>{deleted}{field}{said(" ICI")}'


def test_text_in_a_box_within_a_paragraph_is_a_text_of_its_own() -> None:
    box = "<w:r><w:drawing><w:txbxContent><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:txbxContent></w:drawing></w:r>"
    content = "<w:r><w:t>un</w:t></w:r>" + box.format("deux") + "<w:r><w:t>trois</w:t></w:r>"
    inner = box.replace("<w:r><w:t>{}</w:t></w:r>", said("DEUX"))
    assert body(content) == said("UN") + inner + said("TROIS")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no archive", "it is no Word document"),
        (archive({"a.txt": b""}), "it has no word/document.xml"),
        (archive({"word/document.xml": b"<a>"}), "word/document.xml is no XML"),
        (archive({"word/document.xml": b"<!DOCTYPE a><a/>"}), "declares a document type"),
    ],
)
def test_what_is_no_word_document_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        docx.document(data)


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx, "MAX_UNPACKED", 100)
    with pytest.raises(DocumentError, match=r"unpacks to [\d,]+ bytes, the limit is 100"):
        docx.document(archive(PARTS))
