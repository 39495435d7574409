from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.service import Service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The shipped checkpoints, served as a newcomer would; what it keeps is not the user's."""
    state = tmp_path_factory.mktemp("state")
    running = Service(environment={"TRIPTYCH_STATE": str(state)}).wait_until_ready()
    yield running
    running.stop()
