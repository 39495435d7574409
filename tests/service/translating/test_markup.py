from __future__ import annotations

from service.translating.markup import put_back, texts_of


def test_what_is_between_tags_is_translated_and_put_back() -> None:
    markup = '<b id="1">Un &amp; deux</b>: <img id="2"> trois'
    assert texts_of(markup) == ["Un & deux", " trois"]
    assert put_back(markup, [" One < two", "three "]) == '<b id="1">One &lt; two</b>: <img id="2"> three'
