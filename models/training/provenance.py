"""What a model card says of a model's origin and of its publication: sections of `models.training.card`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from models.checkpoint import Manifest
from models.lineage import ADAPTS, BACK_TRANSLATED_BY, DISTILLED_FROM, STARTS_FROM, Ancestor
from models.training.markdown import cell, figure, table

_SENTENCES = {
    STARTS_FROM: "{} starts from {}",
    ADAPTS: "{} adapts {}",
    DISTILLED_FROM: "{} is distilled from {}",
    BACK_TRANSLATED_BY: "training text of {} was back-translated by {}",
}


def lineage(ancestors: Iterable[Ancestor], of: str = "it", indent: str = "") -> Iterator[str]:
    """A nested list, from the models it was made with down to the oldest: what each was trained on, and its terms."""
    for each in ancestors:
        known = [f"{_sentence(each, of)}, licence {each.licence or 'not known'}"]
        known += [f"trained on: {cell(each.data)}"] if each.data else []
        known += [f"attribution: {cell(each.attribution)}"] if each.attribution else []
        known += [f"SHA-256 of its weights: `{each.weights}`"] if each.weights else []
        yield f"{indent}- " + f"\n{indent}  ".join(f"{line}  " for line in known).rstrip()
        yield from lineage(each.lineage, each.name, indent + "  ")


def terms(ancestors: Iterable[Ancestor]) -> Iterator[str]:
    """A line for each model that this one was made with: its licence may ask something of this one, too."""
    for each in ancestors:
        yield f"{_sentence(each, 'it')}, licence {each.licence or 'not known'}."


def publication(manifest: Manifest) -> Iterator[str]:
    """When it was published, what the gate compared, and whether it was forced; nothing before that."""
    facts = manifest.publication
    if not facts:
        return
    yield f"Published as {manifest.reference} on {str(facts.get('at', '-'))[:10]}."
    if facts.get("note"):
        yield cell(facts["note"])
    gate = facts.get("gate")
    if not isinstance(gate, Mapping):
        return
    against = cell(gate.get("against"))
    if facts.get("forced"):
        yield f"**`--force` was used**: the gate refused it in the place of {against}."
    else:
        yield f"The gate let it in, in the place of {against}."
    yield from (f"Not compared: {cell(obstacle)}" for obstacle in gate.get("obstacles", ()))
    compared = [each for each in gate.get("compared", ()) if isinstance(each, Mapping)]
    if compared:
        names = list(dict.fromkeys(name for each in compared for name in each if not name.endswith("_interval")))
        called = {"old": against, "new": "this one"}
        head = [called.get(name, name.replace("_", " ")) for name in names]
        rows = [[_value(each.get(name), each.get(f"{name}_interval")) for name in names] for each in compared]
        yield table(head, rows)


def _sentence(ancestor: Ancestor, of: str) -> str:
    sentence = _SENTENCES.get(ancestor.relation, f"{{}}: {ancestor.relation} {{}}").format(of, cell(ancestor.reference))
    return sentence[0].upper() + sentence[1:] if of == "it" else sentence


def _value(value: object, interval: Sequence[float] | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return figure(value, interval)
