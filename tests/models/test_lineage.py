import dataclasses

import pytest

from models.checkpoint import Manifest
from models.lineage import (
    ADAPTS,
    BACK_TRANSLATED_BY,
    DISTILLED_FROM,
    STARTS_FROM,
    Ancestor,
    ancestor,
    attribution_with,
    licence_with,
)

HASH = "ab" * 32


def manifest(name: str, **fields: object) -> Manifest:
    return Manifest(name=name, architecture="gpt", task="generate", **fields)


def of(relation: str, **fields: str) -> Ancestor:
    return Ancestor(relation=relation, name="base", **fields)


def test_an_entry_has_what_the_manifest_says_with_all_generations_before():
    oldest = manifest("oldest", version=2, licence="MIT", data="Text")
    middle = manifest("middle", lineage=(ancestor(oldest, STARTS_FROM),), files={"model.safetensors": {"sha256": HASH}})
    entry = ancestor(dataclasses.replace(middle, attribution="Somebody"), DISTILLED_FROM)
    assert (entry.relation, entry.name, entry.weights, entry.attribution) == (
        "distilled from",
        "middle",
        HASH,
        "Somebody",
    )
    assert entry.lineage == (Ancestor(relation="starts from", name="oldest", version=2, licence="MIT", data="Text"),)
    assert entry.reference == "middle (not published, weights abababababab)"
    assert entry.lineage[0].reference == "oldest@2"


@pytest.mark.parametrize(
    ("own", "bases", "said"),
    [
        ("", ["CC0-1.0"], "CC0-1.0"),
        ("MIT", ["CC-BY-SA-4.0"], "MIT AND CC-BY-SA-4.0"),
        ("MIT", ["MIT"], "MIT"),
        ("MIT", ["Apache-2.0 AND MIT", "CC-BY-4.0"], "MIT AND Apache-2.0 AND CC-BY-4.0"),
        ("MIT", [""], "MIT"),
        ("", [], ""),
    ],
)
def test_the_licences_of_all_whose_weights_are_in_a_model_apply(own, bases, said):
    assert (
        licence_with(own, [of(relation, licence=base) for base in bases for relation in (STARTS_FROM, ADAPTS)]) == said
    )


def test_who_is_to_be_named_is_named_once():
    bases = [of(STARTS_FROM, attribution="Anna, CC BY"), of(STARTS_FROM, attribution="Ben")]
    assert attribution_with("Anna, CC BY; Carla", bases) == "Anna, CC BY; Carla; Ben"
    assert attribution_with("", bases) == "Anna, CC BY; Ben"


def test_whose_outputs_alone_were_learned_from_changes_no_terms():
    others = [
        of(relation, licence="CC-BY-SA-4.0", attribution="Anna") for relation in (DISTILLED_FROM, BACK_TRANSLATED_BY)
    ]
    assert licence_with("MIT", others) == "MIT"
    assert attribution_with("Ben", others) == "Ben"
