"""Vocabulary selection: which few tokens a translation can have, by the tokens of its source.

A table says for each target language what translates each source token: IBM model 1 (Brown et al. 1993, "The
mathematics of statistical machine translation"), learned by EM from the pairs that the translator was trained on.
Beside these a translation may have what is always allowed, such as special tokens, bytes, digits and punctuation, the
target language's most frequent tokens, and its source's own, so that a name is copied (Domhan et al. 2022, "The devil
is in the details: on the pitfalls of vocabulary selection in neural machine translation").

Knows tokens' ids alone. Shapes: V vocabulary, N links, B rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

ITERATIONS = 5  # of EM: what model 1 learns in more of them changes few of a token's best translations
LINKS = 1 << 22  # that a pass looks at together: what they take stays below 200 MiB
LEAST = 1e-3  # probability of a translation that is kept
SMALLEST = 1e-30  # what a sum of nothing is divided by

Tokens = np.ndarray  # of a list, in ascending order, int32
Pair = tuple[Sequence[int], Sequence[int]]  # source and target


class ShortlistError(ValueError):
    """A file that holds no table, or one of another vocabulary."""


@dataclass(frozen=True)
class Translations:
    """Into one language."""

    tokens: np.ndarray  # [N] int32: those of source token 0, of source token 1, ...
    ends: np.ndarray  # [V] int64: where those of each source token end
    always: np.ndarray  # int32

    def of_token(self, source: int) -> np.ndarray:
        """What translates one source token, in ascending order; int32."""
        return self.tokens[self.ends[source - 1] if source else 0 : self.ends[source]]

    def of(self, source: Sequence[int], others: Iterable[int] = ()) -> Tokens:
        """The tokens that a translation of `source` may have, with `others`."""
        may_come_V = np.zeros(len(self.ends), dtype=bool)  # a mark for each is made sooner than ids are sorted
        may_come_V[self.always] = True
        may_come_V[[*source, *others]] = True
        for token in {*source}:
            may_come_V[self.of_token(token)] = True
        return may_come_V.nonzero()[0].astype(np.int32)


@dataclass(frozen=True)
class Shortlist:
    languages: Mapping[str, Translations]  # by target language

    def of(self, language: str, source: Sequence[int], others: Iterable[int] = ()) -> Tokens | None:
        """With `others`. None where any token may come: for a language that the table does not have."""
        found = self.languages.get(language)
        return None if found is None else found.of(source, others)

    def save(self, path: Path) -> None:
        arrays = {}
        for language, each in self.languages.items():
            arrays[f"{language}.tokens"] = each.tokens.astype(np.uint16 if len(each.ends) <= 1 << 16 else np.int32)
            arrays[f"{language}.ends"] = each.ends.astype(np.int32)
            arrays[f"{language}.always"] = each.always.astype(np.int32)
        save_file(arrays, path)
        path.chmod(0o644)  # the library leaves it to its owner alone

    @classmethod
    def load(cls, path: Path, vocabulary: int) -> Self:
        """Raises ShortlistError."""
        try:
            arrays = load_file(path)
            languages = {
                name.removesuffix(".ends"): Translations(
                    arrays[name.removesuffix("ends") + "tokens"].astype(np.int32),
                    ends.astype(np.int64),
                    arrays[name.removesuffix("ends") + "always"].astype(np.int32),
                )
                for name, ends in arrays.items()
                if name.endswith(".ends")
            }
        except (SafetensorError, OSError, KeyError) as error:
            raise ShortlistError(f"{path}: not a shortlist's table: {error}") from error
        for language, each in languages.items():
            if len(each.ends) != vocabulary:
                raise ShortlistError(f"{path}: {language} has {len(each.ends)} source tokens, the model {vocabulary}")
            ids = np.concatenate([each.tokens, each.always])
            if ids.size and not 0 <= ids.min() <= ids.max() < vocabulary:
                raise ShortlistError(f"{path}: {language} has token {ids.max()}, the model {vocabulary} tokens")
            steps = np.diff(each.ends, prepend=0)
            if steps.min() < 0 or each.ends[-1] != len(each.tokens):
                raise ShortlistError(f"{path}: {language} has {len(each.tokens)} tokens that end at {each.ends[-1]}")
        return cls(languages)


def learned(
    pairs: Mapping[str, Sequence[Sequence[Pair]]], *, vocabulary: int, best: int, frequent: int, always: Iterable[int]
) -> Shortlist:
    """A table for each target language, from the pairs of each of its source languages: the `best` translations of each
    token from each, its `frequent` most frequent tokens, and what is `always` allowed."""
    languages = {}
    for target, sources in pairs.items():
        found: list[set[int]] = [set() for _ in range(vocabulary)]
        counts = np.zeros(vocabulary, dtype=np.int64)
        for some in sources:
            for _, sentence in some:
                np.add.at(counts, np.asarray(sentence, dtype=np.int64), 1)
            for token, translations in _model_1(some, vocabulary, best):
                found[token].update(translations)
        most = np.argsort(-counts, kind="stable")[:frequent]
        fixed = np.unique([*always, *most[counts[most] > 0].tolist()]).astype(np.int32)
        known = set(fixed.tolist())
        own = [sorted(each - known) for each in found]
        tokens = np.array([token for each in own for token in each], dtype=np.int32)
        languages[target] = Translations(tokens, np.cumsum([len(each) for each in own]), fixed)
    return Shortlist(languages)


def _model_1(pairs: Sequence[Pair], vocabulary: int, best: int) -> Iterator[tuple[int, list[int]]]:
    """The likeliest translations of each source token. Probabilities are of a target token by a source token; token -1,
    which every source has, stands for what nothing is translated to. Of all links those have one that are met."""
    met = torch.empty(0, dtype=torch.int64)
    for links, _ in _links(pairs, vocabulary):
        met = torch.cat([met, links.unique()]).unique()
    if not met.numel():
        return
    sources = met // vocabulary
    table = torch.full((met.numel(),), 1 / vocabulary)
    for _ in range(ITERATIONS):
        counts = torch.zeros_like(table)
        for links, groups in _links(pairs, vocabulary):
            places = torch.searchsorted(met, links)
            shares = table[places]
            totals = torch.zeros(int(groups[-1]) + 1).index_add_(0, groups, shares)
            counts.index_add_(0, places, shares / totals[groups].clamp(min=SMALLEST))
        totals = torch.zeros(vocabulary + 1).index_add_(0, sources, counts)
        table = counts / totals[sources].clamp(min=SMALLEST)
    starts = torch.searchsorted(sources, torch.arange(vocabulary + 1)).tolist()
    for token, (first, last) in enumerate(pairwise(starts)):
        values, places = table[first:last].topk(min(best, last - first))
        yield token, (met[first:last][places[values >= LEAST]] % vocabulary).tolist()


def _links(pairs: Sequence[Pair], vocabulary: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Every pair of a source and a target token as its place in the table, and the number of its target token."""
    links: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    count = number = 0
    for source, target in pairs:
        rows = np.append(np.asarray(source, dtype=np.int64), vocabulary) * vocabulary
        links.append((np.asarray(target, dtype=np.int64)[:, None] + rows).ravel())
        groups.append(np.repeat(np.arange(number, number + len(target)), len(rows)))
        count, number = count + links[-1].size, number + len(target)
        if count >= LINKS:
            yield torch.from_numpy(np.concatenate(links)), torch.from_numpy(np.concatenate(groups))
            links, groups, count, number = [], [], 0, 0
    if count:
        yield torch.from_numpy(np.concatenate(links)), torch.from_numpy(np.concatenate(groups))


def restrict(logits_BV: Tensor, lists: Sequence[np.ndarray | None]) -> Tensor:
    """The logits with those that are not in a row's list at minus infinity; of a row without a list as they are."""
    result_BV = logits_BV.clone()
    for row, tokens in enumerate(lists):
        if tokens is not None:
            ids = torch.from_numpy(tokens).to(logits_BV.device, torch.int64)
            own_V = result_BV[row]
            kept = own_V.index_select(0, ids)
            own_V.fill_(-math.inf).index_copy_(0, ids, kept)
    return result_BV
