from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import checkpoints
from tests.e2e.service import Service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker("fault")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoints.registry(tmp_path_factory.mktemp("tiny"), context=2048))


@pytest.fixture(scope="session")
def service(registry: str) -> Iterator[Service]:
    """One that outlives all that is done to it."""
    running = Service("--registry", registry).wait_until_ready()
    yield running
    running.stop()
    assert running.survivors() == []


@pytest.fixture
def doomed(registry: str) -> Iterator[Service]:
    """One for a fault that it need not outlive."""
    running = Service("--registry", registry).wait_until_ready()
    yield running
    running.kill()
