"""What elements and attributes are for a reader: which of them end a sentence, stand in one, or are not translated.

The same names mean the same in XML, of which XHTML is one; what else XML has is told by what stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# They end a sentence. `br` ends a line, which is all that most of those who write it want.
BLOCKS = _names(
    "address article aside base blockquote body br caption center col colgroup dd details dialog dir div dl dt "
    "fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html label legend "
    "li link main menu meta nav noframes noscript ol optgroup option p param pre search section source summary table "
    "tbody td template tfoot th thead title tr track ul"
)
# They stand in a sentence, with the words that they hold.
INLINES = _names(
    "a abbr acronym b bdi bdo big cite data del dfn em font i ins mark q ruby rp rt rb rtc s small span strike strong "
    "sub sup time u"
)
# They stand for a word of a sentence, and stay as they are with all that they hold.
CODE = _names("code kbd samp var tt math")
# They stand in a sentence like a picture; texts of their own are none of it.
PICTURES = _names(
    "applet area audio button canvas embed iframe img input map meter object picture progress select svg textarea video"
)
# What nobody sees: a place in a sentence, as a comment is.
INVISIBLE = _names("script style wbr")
# Nothing in them is a text of the reader's language, but what is switched on again.
NOT_TRANSLATED = CODE | {"script", "style", "svg", "iframe", "noembed", "noframes", "xmp", "plaintext"}
TRANSLATED = frozenset({"text", "title", "desc", "foreignobject"})  # in `svg`
PRESERVED = frozenset({"pre", "textarea", "listing"})  # their white space is seen as it is

VOID = _names("area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr")
RAW = _names("iframe noembed noframes script style textarea title xmp")  # without tags in them
# The end tags that HTML lets be left out.
OPTIONAL_END = _names(
    "body caption colgroup dd dt head html li optgroup option p rb rp rt rtc tbody td tfoot th thead tr"
)
# HTML's own; `svg` and `math` have others, of which a start tag may be the end tag, too.
KNOWN = (BLOCKS | INLINES | CODE | PICTURES) - {"svg", "math"} | {"script", "style", "noembed", "xmp", "plaintext"}

_CELLS = frozenset({"td", "th", "p"})
_ROWS = _CELLS | {"tr", "caption", "colgroup"}
# Whose end a start tag is, in the order in which they are open.
_ENDED: Mapping[str, frozenset[str]] = {
    "li": frozenset({"li", "p"}),
    "dt": frozenset({"dt", "dd", "p"}),
    "dd": frozenset({"dt", "dd", "p"}),
    "td": _CELLS,
    "th": _CELLS,
    "tr": _ROWS,
    "tbody": _ROWS | {"thead", "tbody", "tfoot"},
    "thead": _ROWS,
    "tfoot": _ROWS | {"thead", "tbody"},
    "option": frozenset({"option"}),
    "optgroup": frozenset({"option", "optgroup"}),
    "rb": frozenset({"rb", "rt", "rp"}),
    "rt": frozenset({"rb", "rt", "rp"}),
    "rp": frozenset({"rb", "rt", "rp"}),
    "body": frozenset({"head"}),
}
_ENDS_A_PARAGRAPH = _names(
    "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer form h1 h2 h3 "
    "h4 h5 h6 header hgroup hr main menu nav ol p pre search section table ul"
)

_ATTRIBUTES = _names(
    "alt title placeholder aria-label aria-description aria-placeholder aria-roledescription aria-valuetext"
)
_LABELLED = frozenset({"optgroup", "option", "track"})
_DESCRIPTIONS = frozenset({"description", "og:title", "og:description", "twitter:title", "twitter:description"})
_BUTTONS = frozenset({"button", "submit", "reset"})


def ended_by(name: str) -> frozenset[str]:
    """The elements that the start of this one ends, of HTML."""
    return _ENDED.get(name) or (frozenset({"p"}) if name in _ENDS_A_PARAGRAPH else frozenset())


def is_text(element: str, attribute: str, values: Mapping[str, str]) -> bool:
    """Whether the attribute's value is read by people; `values` are all the element's."""
    match element, attribute:
        case _, _ if attribute in _ATTRIBUTES:
            return True
        case "meta", "content":
            return values.get("name", values.get("property", "")).lower() in _DESCRIPTIONS
        case "input", "value":
            return values.get("type", "").lower() in _BUTTONS
        case _, "label":
            return element in _LABELLED
        case "th", "abbr":
            return True
    return False
