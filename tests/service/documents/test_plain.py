from __future__ import annotations

from service.documents.plain import pieces
from tests.service.documents.changing import changed

WRAPPED = """\
Le vieil homme marchait lentement le long de la rivière en pensant à sa
jeunesse perdue. Il se souvenait des étés passés dans la maison de ses
grands-parents, des longues promenades et des soirées autour du feu. Tout
cela était loin maintenant.

Une voix le fit sursauter. C'était un enfant qui courait après son chien
et qui riait très fort. Le vieil homme sourit.
- un
- deux
"""
POEM = """\
Les sanglots longs
Des violons
De l'automne
Blessent mon coeur
D'une langueur
Monotone.
"""


def test_each_line_is_a_text_and_what_is_around_it_stays() -> None:
    texts, written = changed(pieces, "  un deux  \r\n\r\n\ttrois\nquatre")
    assert texts == ["un deux", "trois", "quatre"]
    assert written == "  UN DEUX  \r\n\r\n\tTROIS\nQUATRE"


def test_a_wrapped_files_paragraphs_are_texts_over_as_many_lines_again() -> None:
    texts, written = changed(pieces, WRAPPED)
    assert [text[:8] for text in texts] == ["Le vieil", "Une voix", "- un", "- deux"]
    assert written == WRAPPED.upper()
    _, written = changed(pieces, WRAPPED, lambda text: " ".join(["word"] * 40))
    assert [len(line) for line in written.split("\n")[:5]] == [59, 54, 59, 24, 0]


def test_short_lines_are_not_taken_for_wrapped_ones() -> None:
    assert changed(pieces, POEM)[0] == POEM.splitlines()
