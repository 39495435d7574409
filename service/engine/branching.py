"""What the beams of a step may go on with, for all searches at once: logits to branches.

Shapes: B rows, V vocabulary, N continuations of a row, S searches, W beams of each.
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from torch import Tensor

from service.engine.beams import Branch
from service.engine.sampler import Continuations, continuations
from service.engine.sequence import Row, Sequence


def branches(logits_BV: Tensor, rows: list[Row]) -> dict[Sequence, list[Branch]]:
    """For each sequence of these rows, which are all beams at work of each, what its search may choose from."""
    places = {row: place for place, row in enumerate(rows)}
    sequences = list(dict.fromkeys(row.sequence for row in rows))
    wanted: dict[int, list[int]] = {}
    for sequence in sequences:
        for row, tokens in zip(sequence.rows, sequence.searching.wanted(), strict=False):
            if tokens:
                wanted[places[row]] = tokens
    most = max(sequence.searching.candidates for sequence in sequences)
    found = continuations(logits_BV, rows, most, wanted)
    result: dict[Sequence, list[Branch]] = {}
    alike: dict[tuple[int, int], list[Sequence]] = defaultdict(list)
    for sequence in sequences:
        search = sequence.searching
        beams = [row.tokens for row in sequence.rows[: search.beams]]
        if search.wants_all(beams):
            of_each = [found.of(places[row]) for row in sequence.rows[: search.beams]]
            result[sequence] = list(search.possible(beams, of_each))
        else:
            alike[search.beams, search.candidates].append(sequence)
    for (beams_each, count), some in alike.items():
        at_SW = np.array([[places[row] for row in sequence.rows[:beams_each]] for sequence in some])
        result |= zip(some, _best(found, at_SW, [each.searching.totals for each in some], count), strict=True)
    return result


def _best(found: Continuations, at_SW: np.ndarray, totals: list[list[float]], count: int) -> list[list[Branch]]:
    """The `count` best of each search, best first; of equals, those of the better beam first."""
    scores_SWN = found.logprobs_BN[at_SW, :count] + np.array(totals)[:, :, None]
    scores_SX = scores_SWN.reshape(len(totals), -1)
    order_SN = np.argsort(-scores_SX, axis=1, kind="stable")[:, :count]
    tokens_SX = found.tokens_BN[at_SW, :count].reshape(scores_SX.shape)
    searches_S1 = np.arange(len(totals))[:, None]
    parts = (order_SN // scores_SWN.shape[2], tokens_SX[searches_S1, order_SN], scores_SX[searches_S1, order_SN])
    of_each = zip(*(part.tolist() for part in parts), strict=True)
    # What is ruled out is infinitely bad.
    return [[branch for branch in map(Branch, *each) if branch.total > -math.inf] for each in of_each]
