"""Merges the metrics of many processes into one Prometheus text, told apart by a `replica` label.

Works on the text format alone (as `prometheus_client.generate_latest` writes it); knows nothing of what is counted.
Text is edited, not parsed into objects: a scrape must not hold up the requests that share its event loop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

SAMPLE_SUFFIXES = ("", "_bucket", "_sum", "_count", "_total")


@dataclass
class _Family:
    """One metric: its HELP and TYPE lines, then the samples of every replica."""

    header: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)


def merge(replicas: Iterable[tuple[str, bytes]]) -> bytes:
    """Join (replica, text) pairs: each family once, with the first replica's HELP and TYPE."""
    families: dict[str, _Family] = {}
    for replica, text in replicas:
        label = f'replica="{_escaped(replica)}"'
        for name, found in _families(text.decode("utf-8", "replace")).items():
            family = families.setdefault(name, _Family(found.header))
            family.samples.extend(_labelled(sample, label) for sample in found.samples)
    lines = [line for family in families.values() for line in (*family.header, *family.samples)]
    return "".join(f"{line}\n" for line in lines).encode()


def _families(text: str) -> dict[str, _Family]:
    """By name, those that have samples, but for the `_created` ones, which only repeat their metric."""
    name, families = "", defaultdict[str, _Family](_Family)
    for line in text.split("\n"):
        if line.startswith(("# HELP ", "# TYPE ")):
            name = line.split(" ", 3)[2]
            families[name].header.append(line)
        elif line and not line.startswith("#") and _belongs(line, name):
            families[name].samples.append(line)
    return {name: family for name, family in families.items() if family.samples and not name.endswith("_created")}


def _belongs(sample: str, family: str) -> bool:
    name = sample.partition("{")[0].partition(" ")[0]
    return bool(family) and name.startswith(family) and name[len(family) :] in SAMPLE_SUFFIXES


def _labelled(sample: str, label: str) -> str:
    """`name{a="b"} 1` or `name 1` with `label` put first."""
    name, brace, rest = sample.partition("{")
    if not brace:
        name, _, value = sample.partition(" ")
        return f"{name}{{{label}}} {value}"
    return f"{name}{{{label}{rest}" if rest.startswith("}") else f"{name}{{{label},{rest}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
