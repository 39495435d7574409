"""The service's glossaries as DeepL has them: each of one pair of languages, with an id.

Ours are of no languages: one stands for as many of DeepL's as there are pairs. Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from pydantic import BaseModel

from service.errors import InvalidRequest, NotFound
from service.gateway.deepl.languages import base_code, base_pairs
from service.gateway.glossaries import Entries, named
from service.gateway.languages import Pair


class DeeplGlossary(BaseModel):
    glossary_id: str
    name: str
    ready: bool
    source_lang: str
    target_lang: str
    creation_time: str
    entry_count: int


class DeeplGlossaryList(BaseModel):
    glossaries: list[DeeplGlossary]


@dataclass(frozen=True, slots=True)
class Glossary:
    name: str
    pair: Pair  # in DeepL's codes
    entries: Entries

    @property
    def id(self) -> str:
        """The same whenever and wherever it is asked for."""
        return str(uuid5(NAMESPACE_OID, "\t".join(("triptych.glossary", self.name, *self.pair))))

    def said(self, read: datetime) -> dict[str, Any]:
        source, target = self.pair
        return {
            "glossary_id": self.id,
            "name": self.name,
            "ready": True,
            "source_lang": source.lower(),
            "target_lang": target.lower(),
            "creation_time": read.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "entry_count": len(self.entries),
        }

    def table(self) -> str:
        return "".join(f"{source}\t{target}\n" for source, target in self.entries)


def all_of(glossaries: Mapping[str, Entries], pairs: Sequence[Pair]) -> Iterator[Glossary]:
    for name, entries in glossaries.items():
        for pair in base_pairs(pairs):
            yield Glossary(name, pair, entries)


def find(glossaries: Mapping[str, Entries], pairs: Sequence[Pair], said: str) -> Glossary:
    """By its id, or by our name for it: then it is that of the first pair."""
    found = next((each for each in all_of(glossaries, pairs) if said in (each.id, each.name)), None)
    if found is None:
        raise NotFound(f"there is no glossary {said[:80]!r}; by name there are: {', '.join(glossaries) or 'none'}")
    return found


def asked_for(
    glossaries: Mapping[str, Entries], pairs: Sequence[Pair], said: str, source: str | None, target: str
) -> Entries:
    """Of a call that translates. A name fits all languages; an id is of those that it was listed with."""
    for each in all_of(glossaries, pairs):
        if said == each.id:
            asked = (base_code(source) if source else "auto", base_code(target))
            if asked != each.pair:
                one, other = ("-".join(pair) for pair in (each.pair, asked))
                raise InvalidRequest(f"glossary_id is {said}, which is of {one}, with the languages {other}")
            return each.entries
    return named(glossaries, said, "glossary_id")
