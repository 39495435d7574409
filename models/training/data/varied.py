"""Training examples that are never read twice alike: varied as people type, joined, in smaller tokens.

What becomes of an example in an epoch depends on the seed, the epoch and the example alone, so that neither the number
of workers nor an interruption changes it. Of translators only: the text of both sides is got back from the ids.
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import islice

import numpy as np

from models import formats
from models.tokenizer import Tokenizer
from models.training.data.examples import Example, Examples
from models.training.data.variations import VARIATIONS
from models.training.sections import Variation

_JOINED = "joined"
_MOST_JOINED = 4
_NEAR = 1000  # examples this far away are of the same file, mostly
# How much longer a variation makes a text, in tokens, as far as it matters to the width of a batch: (times, plus).
_LONGER = {"capitals": (2.0, 0), "copies": (1.0, 12), "slips": (1.0, 2)}


class Varied:
    """N examples with a variation drawn for each in every epoch."""

    def __init__(
        self, examples: Examples, tokenizer: Tokenizer, recipe: Variation, *, longest: tuple[int, int], seed: int
    ) -> None:
        """`longest` ids a source and a target may have; an example that a variation makes longer is read as it is."""
        self.examples, self.tokenizer, self.longest, self._seed = examples, tokenizer, longest, seed
        self.kinds = (*(name for name in VARIATIONS if getattr(recipe, name)), *([_JOINED] if recipe.joined else []))
        self.shares = np.array([getattr(recipe, name) for name in self.kinds])
        self.split_share = recipe.split_tokens
        self._parts = _Parts(tokenizer)
        self.epoch = lru_cache(maxsize=2)(partial(VariedEpoch, self))  # a step may reach across epochs

    def random(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, 2, *numbers))

    def taken_apart(self, ids: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return self._parts.split(ids, self.split_share, random) if self.split_share else ids


class VariedEpoch:
    """One epoch's examples. The lengths are of what is expected, for batches of similar ones."""

    def __init__(self, varied: Varied, number: int) -> None:
        self._varied, self._number = varied, number
        examples = varied.examples
        random = varied.random(number)
        # The kind of variation of each example: an index of `kinds`, or their number for none.
        self._kinds_N = np.searchsorted(np.cumsum(varied.shares), random.random(len(examples)), side="right")
        lengths = examples.source_lengths_N.astype(np.float64), examples.target_lengths_N.astype(np.float64)
        for kind, name in enumerate(varied.kinds):
            chosen = self._kinds_N == kind
            times, plus = _LONGER.get(name, (1.0, 0))
            for lengths_N in lengths:
                lengths_N[chosen] = lengths_N[chosen] * times + plus
        self._partners: dict[int, list[int]] = {}
        if _JOINED in varied.kinds:
            for row in np.flatnonzero(self._kinds_N == varied.kinds.index(_JOINED)).tolist():
                partners = self._partners[row] = self._near(row, random)
                lengths[0][row] += examples.source_lengths_N[partners].sum()
                lengths[1][row] += examples.target_lengths_N[partners].sum()
        if varied.split_share:
            for lengths_N in lengths:
                lengths_N *= 1 + varied.split_share
        self.source_lengths_N, self.target_lengths_N = (lengths_N.astype(np.int32) for lengths_N in lengths)

    def __len__(self) -> int:
        return len(self._kinds_N)

    def __getitem__(self, index: int) -> Example:
        varied = self._varied
        example, random = varied.examples[index], varied.random(self._number, int(index))
        kind = int(self._kinds_N[index])
        if index in self._partners:
            changed = self._joined([example, *(varied.examples[partner] for partner in self._partners[index])])
        elif kind < len(varied.kinds):
            variation = VARIATIONS[varied.kinds[kind]]
            changed = self._rewritten(example, *variation(*self._texts(example), random))
        else:
            changed = example
        source, target = varied.taken_apart(changed.source, random), varied.taken_apart(changed.target, random)
        if len(source) <= varied.longest[0] and len(target) <= varied.longest[1]:
            return Example(source, target)
        return example

    def _joined(self, examples: list[Example]) -> Example:
        """Several, one after the other."""
        sources, targets = zip(*map(self._texts, examples), strict=True)
        return self._rewritten(examples[0], " ".join(sources), " ".join(targets))

    def _texts(self, example: Example) -> tuple[str, str]:
        """Without the tag in front of the source and the end tokens."""
        decode = self._varied.tokenizer.decode
        return decode(example.source[1:-1].tolist()), decode(example.target[:-1].tolist())

    def _rewritten(self, example: Example, source: str, target: str) -> Example:
        """With other texts between the tag and the end tokens."""
        encode = self._varied.tokenizer.encode
        return Example(
            np.array([example.source[0], *encode(formats.normalize(source)), example.source[-1]], np.int32),
            np.array([*encode(formats.normalize(target)), example.target[-1]], np.int32),
        )

    def _near(self, row: int, random: np.random.Generator) -> list[int]:
        """One to three other examples from near by that are translated into the same language."""
        examples = self._varied.examples
        tag = examples[row].source[0]
        near = np.clip(row + random.integers(-_NEAR, _NEAR + 1, size=8 * _MOST_JOINED), 0, len(examples) - 1).tolist()
        alike = islice((other for other in near if examples[other].source[0] == tag), _MOST_JOINED - 1)
        return list(alike)[: int(random.integers(1, _MOST_JOINED))]


class _Parts:
    """What tokens were merged of. A token is taken apart with some probability, and so are its parts: other ways to
    write the same text, as BPE-dropout has them (Provilkov et al. 2020), but drawn from the ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._first_V = np.full(tokenizer.vocab_size, -1, np.int32)
        self._second_V = self._first_V.copy()
        for token, first, second in tokenizer.merges():
            self._first_V[token], self._second_V[token] = first, second

    def split(self, ids: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
        fresh = np.ones(len(ids), bool)
        while True:
            apart = fresh & (self._first_V[ids] >= 0) & (random.random(len(ids)) < share)
            if not apart.any():
                return ids
            places = np.arange(len(ids)) + np.cumsum(apart) - apart
            longer = np.repeat(ids, 1 + apart)
            longer[places[apart]] = self._first_V[ids[apart]]
            longer[places[apart] + 1] = self._second_V[ids[apart]]
            fresh = np.repeat(apart, 1 + apart)
            ids = longer
