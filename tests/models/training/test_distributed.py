"""Real Ray, two workers on one machine, the command as a person starts it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from models.training.distributed import _share, train
from models.training.run import Job
from models.training.run import train as train_alone
from models.training.sections import RecipeError
from models.training.state import latest_state
from tests import tiny_recipes as tiny

ROOT = Path(__file__).parents[3]
STEPS = 16
RECIPE = {**tiny.GENERATOR, "training": {**tiny.TRAINING, "accumulate": 4, "precision": "float32", "optimizer": "muon"}}
SECONDS = 90  # more than it ever takes


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    tiny.write_data(folder / "data")
    tiny.write_recipe(folder, RECIPE, steps=STEPS, save_every=0)
    tiny.write_recipe(folder, {**RECIPE, "name": "long"}, steps=100_000, save_every=0)
    return folder


@contextmanager
def command(folder: Path, runs: str, recipe: str = "generator") -> Iterator[subprocess.Popen]:
    """`triptych train --workers 2`; at the end nothing that it started is left."""
    files = [str(folder / f"{recipe}.yaml"), "--data", str(folder / "data"), "--runs", str(folder / runs)]
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "train", *files, "--workers", "2", "--device", "cpu"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started: set[psutil.Process] = set()
    over = threading.Event()

    def watch() -> None:
        """What has lost its parent is no longer found below the process that started it."""
        while not over.wait(0.2):
            started.update(children(process))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield process
    finally:
        over.set()
        watching.join()
        started.update(children(process))
        process.kill()
        process.wait()
    assert started, "its workers"
    deadline = time.monotonic() + 10
    while (left := [each for each in started if is_alive(each)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def children(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def workers(process: subprocess.Popen) -> list[psutil.Process]:
    found = []
    for each in children(process):
        try:
            if "RayTrainWorker" in " ".join(each.cmdline()):
                found.append(each)
        except psutil.Error:
            continue
    return found


def wait_for_a_state(folder: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + SECONDS
    while not latest_state(folder):
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "generator" / f"state-{STEPS:09d}" / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(folder) -> dict[str, torch.Tensor]:
    with command(folder, "undisturbed") as process:
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert "2 workers" in said
    assert "Trained:" in said
    assert not (folder / "undisturbed" / "generator" / ".ray").exists()
    return weights(folder / "undisturbed")


def test_two_workers_learn_what_one_that_accumulates_learns(folder, undisturbed):
    job = Job(folder / "generator.yaml", folder / "data", folder / "alone", str(folder), device="cpu")
    alone = train_alone(job, lambda line: None)
    for name, expected in weights(folder / "alone").items():
        torch.testing.assert_close(undisturbed[name], expected, rtol=0, atol=1e-5, msg=name)
    logs = [folder / runs / "generator" / "metrics.jsonl" for runs in ("undisturbed", "alone")]
    mine, theirs = ([json.loads(line) for line in log.read_text().splitlines()] for log in logs)
    assert [entry["step"] for entry in mine] == [entry["step"] for entry in theirs]
    assert [entry["tokens"] for entry in mine] == [entry["tokens"] for entry in theirs]
    assert mine[-1]["loss"] == pytest.approx(alone.validation.loss, abs=1e-4)


def test_a_run_that_loses_a_worker_ends_with_the_same_weights(folder, undisturbed):
    with command(folder, "killed") as process:
        wait_for_a_state(folder / "killed" / "generator", process)
        workers(process)[-1].kill()
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert "a worker was lost" in said
    assert "going on after step" in said
    for name, expected in undisturbed.items():
        assert torch.equal(weights(folder / "killed")[name], expected), name


def test_a_polite_stop_saves_the_state_and_leaves_nothing_running(folder):
    with command(folder, "stopped", recipe="long") as process:
        wait_for_a_state(folder / "stopped" / "long", process)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 2, said
    stopped = re.search(r"stopped after step (\d+) of 100000; the state is saved", " ".join(said.split()))
    assert stopped, said
    assert latest_state(folder / "stopped" / "long").name == f"state-{int(stopped[1]):09d}"


def test_batches_that_cannot_be_shared_are_refused_before_anything_starts(folder):
    job = Job(folder / "generator.yaml", folder / "data", folder / "refused", str(folder))
    with pytest.raises(RecipeError, match=r"generator.yaml: accumulate is 4, which 3 workers cannot share evenly"):
        train(job, 3)
    assert not (folder / "refused").exists()


@pytest.mark.parametrize(
    ("device", "workers", "nodes", "expected"),
    [
        ("auto", 2, [{"CPU": 2}], ("cpu", 1)),
        ("auto", 2, [{"CPU": 9}], ("cpu", 4)),
        ("auto", 3, [{"CPU": 8}, {"CPU": 2}], ("cpu", 2)),
        ("auto", 2, [{"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 1}], ("cuda", 1)),
        ("auto", 2, [{"CPU": 4, "GPU": 1}, {"CPU": 4}], ("cpu", 4)),
        ("cpu", 1, [{"CPU": 4, "GPU": 1}], ("cpu", 4)),
    ],
)
def test_every_worker_gets_a_gpu_or_an_even_share_of_the_cpus(device, workers, nodes, expected):
    assert _share(device, workers, nodes) == expected


def test_what_a_cluster_lacks_is_said():
    with pytest.raises(ValueError, match="3 workers need a CPU each, and there are 2"):
        _share("auto", 3, [{"CPU": 2}])
    with pytest.raises(ValueError, match="2 workers need a GPU each, and there are 1"):
        _share("cuda", 2, [{"CPU": 2, "GPU": 1}])
