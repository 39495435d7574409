from __future__ import annotations

import pytest
from torch import nn

from tests.models.tiny import BERTS, CONFIGS, built


@pytest.fixture(params=CONFIGS, scope="module")
def decoder(request: pytest.FixtureRequest) -> nn.Module:
    """Every architecture that decodes."""
    return built(CONFIGS[request.param])


@pytest.fixture(params=BERTS, scope="module")
def classifier(request: pytest.FixtureRequest) -> nn.Module:
    return built(BERTS[request.param])


@pytest.fixture(params=[name for name in CONFIGS if name.startswith("seq2seq")], scope="module")
def translator(request: pytest.FixtureRequest) -> nn.Module:
    return built(CONFIGS[request.param])


@pytest.fixture(params=[name for name in CONFIGS if name.startswith("gpt")], scope="module")
def generator(request: pytest.FixtureRequest) -> nn.Module:
    return built(CONFIGS[request.param])
