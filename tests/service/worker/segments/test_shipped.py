"""What the shipped translator makes of what must not change: every piece is there, whole and once."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Iterator

import pytest

from models import checkpoint
from models.registry import Registry
from service.config import SHIPPED_REGISTRY
from service.messages import Completion, Decoding, TranslateRequest
from service.options import EngineOptions
from service.worker.text_engine import TextEngine

PIECES = (
    "https://exemple.fr/a?b=1&c=d#e", "www.exemple.org/x_(y)", "ftp://x.org/a.tar.gz", "jean.dupont+tri@exemple.co.uk",
    "rapport-2.v1.pdf", "/usr/local/bin/x.sh", "C:\\Temp\\notes.txt", "`git push --force`", "{name}", "{{ user.name }}",
    "%(count)d", "%1$s", "${TOTAL}", "<x id=\"1\"/>", "1 234 567,89", "12/05/2024", "12:30:15", "192.168.0.1",
    "978-2-07-036822-8", "@jean_d", "#Vacances2024", "😍👍🏽",
)  # fmt: skip
SENTENCES = {
    ("fr", "en"): ("Je vois {} ici.", "Où est {} ?", "{} est très bien.", "Envoyez-moi {}, s'il vous plaît !"),
    ("en", "fr"): ("I can see {} here.", "Where is {}?", "{} is very good.", "Please send me {}!"),
    ("ko", "en"): ("나는 {} 봤어요.", "{} 어디에 있어요?", "{} 정말 좋아요.", "저에게 {} 보내 주세요!"),
}
CASES = [
    (pair, sentence.replace("{}", piece), piece)
    for pair, sentences in SENTENCES.items()
    for sentence, piece in itertools.product(sentences, PIECES)
]


@pytest.fixture(scope="module")
def translator() -> Iterator[TextEngine]:
    made = checkpoint.load(Registry(SHIPPED_REGISTRY).resolve("translator"))
    engine = TextEngine("translator", made, EngineOptions())
    yield engine
    engine.close()


async def translations(
    engine: TextEngine,
    decoding: Decoding,
    written: Callable[[str, str], str] = lambda text, piece: text,
    **fields: object,
) -> list[str]:
    """Of the cases as they are `written`: their texts, given with their pieces."""
    requests = [
        TranslateRequest(
            id=f"{n}",
            text=written(text, piece),
            source_language=pair[0],
            target_language=pair[1],
            decoding=decoding,
            **fields,
        )
        for n, (pair, text, piece) in enumerate(CASES)
    ]
    found: dict[str, str] = {}
    async for events in engine.submit(requests):
        found |= {event.request_id: event.text for event in events if isinstance(event, Completion)}
    return [found[request.id] for request in requests]


@pytest.mark.parametrize(
    "decoding",
    [Decoding(), Decoding(num_beams=2), Decoding(do_sample=True, seed=3)],
    ids=["greedy", "beams", "sampled"],
)
async def test_every_protected_piece_is_in_its_translation_whole_and_once(
    translator: TextEngine, decoding: Decoding
) -> None:
    assert len(CASES) > 200
    wrong = [
        (text, translated)
        for (_, text, piece), translated in zip(CASES, await translations(translator, decoding), strict=True)
        if translated.count(piece) != 1
    ]
    assert not wrong


@pytest.mark.parametrize(
    "markup",
    ["<p>{text}</p>", "<p>{before}<b>{piece}</b>{after}</p>", "<ul><li>{text}</li><li><i>{text}</i></li></ul>"],
    ids=["paragraph", "in bold", "list"],
)
async def test_so_it_is_within_markup(translator: TextEngine, markup: str) -> None:
    def written(text: str, piece: str) -> str:
        before, _, after = text.partition(piece)
        parts = {"before": before, "piece": piece, "after": after, "text": text}
        return markup.format(**{name: html.escape(part) for name, part in parts.items()})

    found = await translations(translator, Decoding(), written, format="html")
    times = max(markup.count("{text}"), 1)
    wrong = [
        (text, translated)
        for (_, text, piece), translated in zip(CASES, found, strict=True)
        if html.unescape(re.sub(r"</?(?:p|b|i|ul|li)>", "", translated)).count(piece) != times
    ]
    assert not wrong


async def test_glossary_terms_are_in_their_translations(translator: TextEngine) -> None:
    terms = (("ici", "yonder"), ("bien", "swell"), ("Envoyez", "Dispatch"), ("here", "céans"), ("good", "chouette"))
    found = await translations(translator, Decoding(), glossary=terms)
    for (_, text, _), translated in zip(CASES, found, strict=True):
        for source, target in terms:
            if f" {source}" in text.split(",")[0]:
                assert target in translated, (text, translated)
