"""What a model was trained on, to tell apart the tests that are like it.

What a model remembers of a training sentence helps it with that sentence's near twins. What it makes of the others is
nearer to what its users will see. A function of test and training text alone, so that everybody computes the same.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache as cached
from pathlib import Path

import numpy as np

from models.checkpoint import sha256_of
from models.registry.cache import default_cache
from models.training.data.readers import DataError, paths_of, read_rows
from models.training.recipe import Recipe
from models.training.sections import Corpus

NEAR = 0.7
FAR = (
    "far: no training sentence of its language is like either side of the pair, with a Levenshtein similarity of "
    f"{NEAR} or more (1 - edits / characters of the longer one; case and punctuation aside)"
)
UNSEEN = "unseen: the source stands in no training text, case and punctuation aside"
_SIGNS = re.compile(r"[\W_]+")
_CHUNK = 10_000  # training sentences that are compared at once

Compare = Callable[[Sequence[str], Iterable[str]], np.ndarray]


class TrainingText:
    """Of a translator: the files its recipe trains on, as they are before cleaning.

    What was compared once is kept in `cache` (the user's unless given) by the hash of all that it depends on.
    """

    def __init__(self, recipe: Recipe, data: Path, say: Callable[[str], object], cache: Path | None = None) -> None:
        """Raises DataError where a training file is not in the folder `data`."""
        if not recipe.language_pairs:
            raise DataError(f"a recipe to {recipe.task} has no two sides of a sentence")
        self._recipe, self._data, self._say = recipe, data, say
        self._cache = (default_cache() if cache is None else cache) / "training-text"
        self._sha256_of = cached(sha256_of)
        for corpus in recipe.corpora:
            for path in paths_of(corpus, data):
                if not path.is_file():
                    raise DataError(f"{path}: no such file, and {recipe.name} was trained on it")

    def far(self, source: str, target: str, sources: Sequence[str], targets: Sequence[str]) -> list[bool]:
        """Whether each pair is far, from the two languages' codes and the pairs' sides. Raises DataError."""
        near_N = self._like(is_near, FAR, source, sources) | self._like(is_near, FAR, target, targets)
        return [not near for near in near_N.tolist()]

    def unseen(self, language: str, texts: Sequence[str]) -> list[bool]:
        """Whether no training text of the language is the same, case and punctuation aside. Raises DataError."""
        return [not seen for seen in self._like(is_seen, UNSEEN, language, texts).tolist()]

    def _like(self, compare: Compare, rule: str, language: str, texts: Sequence[str]) -> np.ndarray:
        """[N] bool: which texts the training text has the like of."""
        # What teachers write is of no file; what they wrote it of is.
        corpora = [
            corpus
            for corpus in self._recipe.corpora
            if language in corpus.columns and any(language in pair for pair in corpus.pairs)
        ]
        file = self._cache / f"{self._key(rule, language, texts, corpora)}.npy"
        with suppress(OSError, ValueError):  # not there, or cut off
            return np.load(file)
        training = {record.values[language] for corpus in corpora for record in read_rows(corpus, self._data)}
        self._say(f"looking for the like of {len(texts):,} texts ({language}) among {len(training):,} of the training")
        like_N = compare(texts, training)
        with suppress(OSError):  # it will be compared again
            self._cache.mkdir(parents=True, exist_ok=True)
            scratch = file.with_name(f".{file.stem}.{os.getpid()}.npy")
            np.save(scratch, like_N)
            scratch.replace(file)
        return like_N

    def _key(self, rule: str, language: str, texts: Sequence[str], corpora: Sequence[Corpus]) -> str:
        key = hashlib.sha256(f"{rule}\n{language}\n".encode())
        for text in texts:
            key.update(hashlib.sha256(text.encode()).digest())
        for corpus in corpora:
            key.update(f"\n{corpus.model_dump_json()}".encode())
            for path in paths_of(corpus, self._data):
                key.update(self._sha256_of(path).encode())
        return key.hexdigest()


def is_seen(texts: Sequence[str], training: Iterable[str]) -> np.ndarray:
    """[N] bool: which of `texts` are a training text, case and punctuation aside; what has no letter counts as one."""
    known = {_folded(text) for text in training} | {""}
    return np.array([_folded(text) in known for text in texts])


def is_near(texts: Sequence[str], training: Iterable[str]) -> np.ndarray:
    """[N] bool: which of `texts` have a training text that is like them, by the rule."""
    from rapidfuzz import process  # an extra
    from rapidfuzz.distance import Levenshtein

    folded = [_folded(text) for text in texts]
    known = sorted({_folded(text) for text in training}, key=len)  # a chunk's lengths are similar: most are passed over
    near_N = np.array([not text for text in folded])
    for first in range(0, len(known), _CHUNK):
        left = np.flatnonzero(~near_N)
        found = process.cdist(
            [folded[index] for index in left],
            known[first : first + _CHUNK],
            scorer=Levenshtein.normalized_similarity,
            score_cutoff=NEAR,
            dtype=np.float32,
            workers=-1,
        )
        near_N[left[found.any(axis=1)]] = True
    return near_N


def _folded(text: str) -> str:
    return _SIGNS.sub(" ", text.casefold()).strip()
