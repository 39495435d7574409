"""`triptych translate --address` on a Ray cluster with two replicas and no gateway."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import checkpoints
from tests.waiting import wait_for

HEAD = """
import ray, sys
from ray import serve
from service.config import Settings
from service.deployments import lifecycle
ray.init(address="local", include_dashboard=False, num_cpus=2, object_store_memory=10**8, log_to_driver=False)
serve.start(proxy_location="Disabled")
translator = {"task": "translate", "checkpoint": "translator", "min_replicas": 2, "max_replicas": 2}
lifecycle.deploy(Settings(registry=sys.argv[1], models={"translator": translator}), None, lambda models: None)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {  # as docs/operations.md starts a cluster
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "RAY_AUTH_MODE": "disabled",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
FILES, LINES = 200, 10  # which take seconds


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    registry = checkpoints.registry(tmp_path_factory.mktemp("cluster"))
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD, str(registry)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
    )
    assert head.stdin is not None
    assert head.stdout is not None
    yield next(line for line in head.stdout if re.fullmatch(r"[\d.]+:\d+\n", line)).strip()
    head.stdin.close()
    head.wait(30)


def start(folder: Path, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "service", "translate", "texts", "--from", "fr", "--to", "en"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who ignores Ctrl-C has children that do
    try:
        return subprocess.Popen(
            [*command, "--address", address],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def written(folder: Path) -> list[Path]:
    return sorted((folder / "texts.en").glob("*.txt"))


def test_a_folder_is_translated_by_all_replicas_and_goes_on_where_it_was_interrupted(
    tmp_path: Path, cluster: str
) -> None:
    (tmp_path / "texts").mkdir()
    for number in range(FILES):
        lines = [f"Phrase {number} {line}." for line in range(LINES)]
        (tmp_path / "texts" / f"{number:03}.txt").write_text("\n".join(lines))
    (tmp_path / "texts" / "empty.txt").write_text("")
    (tmp_path / "texts" / "table.csv").write_text("a,b\n1,2\n")
    first = start(tmp_path, cluster)
    wait_for(lambda: len(written(tmp_path)) >= 2 or first.poll() is not None, seconds=60)
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=30)
    assert first.returncode == 130, output
    assert f"To go on: triptych translate texts --from fr --to en --address {cluster}" in " ".join(output.split())
    parts = {part.with_suffix("") for part in (tmp_path / "texts.en").glob("*.part")}  # one may be written already
    early = {path: path.stat().st_mtime_ns for path in written(tmp_path) if path not in parts}
    assert len(early) < FILES
    second = start(tmp_path, cluster)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1, output
    assert "table.csv: --column says which are to be translated" in output
    assert f"{FILES + 1 - len(early)} files, {len(early)} were there already" in output
    assert "Traceback" not in output
    assert all(line.startswith(("texts", "  line ", f"{FILES + 1 - len(early)} files")) for line in output.splitlines())
    assert [path.name for path in written(tmp_path)] == [*(f"{number:03}.txt" for number in range(FILES)), "empty.txt"]
    assert all(path.stat().st_mtime_ns == time for path, time in early.items())
    assert all(path.read_text().count("\n") == LINES - 1 for path in written(tmp_path)[:FILES])
    assert not list((tmp_path / "texts.en").glob("*.part"))
