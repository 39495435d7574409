from __future__ import annotations

import pytest
from torch import nn

from tests.models.assembled import DYNAMIC, assembled
from tests.models.tiny import BERTS, CONFIGS, built, ensemble

OTHERS = {"ensemble": ensemble, "assembled": assembled, "assembled-dynamic": lambda: assembled(DYNAMIC)}


@pytest.fixture(params=[*CONFIGS, *OTHERS], scope="module")
def decoder(request: pytest.FixtureRequest) -> nn.Module:
    """Every architecture that decodes, several models as one, and one of parts that no architecture has."""
    return OTHERS[request.param]() if request.param in OTHERS else built(CONFIGS[request.param])


@pytest.fixture(params=BERTS, scope="module")
def classifier(request: pytest.FixtureRequest) -> nn.Module:
    return built(BERTS[request.param])


@pytest.fixture(params=[name for name in CONFIGS if name.startswith("seq2seq")], scope="module")
def translator(request: pytest.FixtureRequest) -> nn.Module:
    return built(CONFIGS[request.param])


@pytest.fixture(params=[*(name for name in CONFIGS if name.startswith("gpt")), "assembled"], scope="module")
def generator(request: pytest.FixtureRequest) -> nn.Module:
    return assembled() if request.param == "assembled" else built(CONFIGS[request.param])
