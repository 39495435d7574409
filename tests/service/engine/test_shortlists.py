"""Requests that may use some tokens alone, beside others: nobody gets a token that is not in his list, and what he gets
is what he gets alone; by kernels or by PyTorch."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from models.native.library import instruction_set
from models.precision import convert
from models.quantization import int8_supported
from service.engine.beams import Beams
from service.engine.sequence import Sampling, Sequence, SequenceSpec
from tests.models.tiny import CONFIGS, built
from tests.service.engine.driving import CPU, arrive, engine_of

KERNELS = pytest.mark.skipif(
    instruction_set() is None or not int8_supported(CPU), reason="there are no kernels for this CPU"
)


def sequence(name: int, *, listed: bool = True) -> Sequence:
    chance = random.Random(name)
    kind = name % 4
    tokens = np.array(sorted({2, *chance.sample(range(3, 61), 12)}), dtype=np.int32)
    return Sequence(
        SequenceSpec(
            id=str(name),
            prompt=[chance.randrange(3, 61) for _ in range(chance.randrange(1, 18))],
            max_new_tokens=chance.randrange(2, 14),
            end_id=2,
            sampling=Sampling(do_sample=True, temperature=3.0, seed=name) if kind == 1 else Sampling(),
            beams=Beams(width=2 + name % 2, results=2) if kind == 2 else None,
            shortlist=tokens if listed and name % 3 else None,
        )
    )


@pytest.fixture(scope="module", params=["float32", pytest.param("int8", marks=KERNELS)])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return convert(built(CONFIGS["seq2seq-pre-sinusoidal-tied"]), request.param, CPU)[0]


def run(model: nn.Module, names: list[int], *, programs: bool = True, listed: bool = True) -> list[Sequence]:
    asked = [sequence(name, listed=listed) for name in names]
    arrive(engine_of(model, slots=9, prefill_tokens=30, programs=programs), asked)
    return asked


def test_nobody_gets_a_token_that_is_not_in_his_list(model: nn.Module) -> None:
    for each in run(model, list(range(40))):
        if each.spec.shortlist is not None:
            allowed = set(each.spec.shortlist.tolist())
            assert all(set(result) <= allowed for result in each.results), each.spec.id


def test_who_has_a_list_gets_beside_others_what_he_gets_alone_and_who_has_none_what_he_got_before(
    model: nn.Module,
) -> None:
    together, without = run(model, list(range(30))), run(model, list(range(30)), listed=False)
    differ = 0
    for name, got in enumerate(together):
        [alone] = run(model, [name])
        assert got.results == alone.results, name
        if got.spec.shortlist is None:
            assert got.results == without[name].results, name
        differ += got.results != without[name].results
    assert differ > 5


@KERNELS
def test_kernels_give_what_pytorch_gives() -> None:
    torch.manual_seed(0)
    model = convert(built(CONFIGS["seq2seq-pre-sinusoidal-tied"]), "int8", CPU)[0]
    for ours, twin in zip(run(model, list(range(24))), run(model, list(range(24)), programs=False), strict=True):
        assert ours.results == twin.results, ours.spec.id
