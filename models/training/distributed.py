"""Data-parallel training: the workers of one run, started, watched and, when one is lost, started again by Ray Train.

The batches of each step are shared out, so that N workers learn what one worker that accumulates learns. The first one
writes states, logs and the checkpoint into the run's folder, which all of them have to see. Nothing is kept by Ray.

Knows nothing of the loop: it calls `run.prepare` and `run.fit`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import torch

from models.training import experiments
from models.training.loading import load_recipe
from models.training.parallel import TorchGroup
from models.training.run import Hire, Job, TrainingResult, fit, prepare
from models.training.sections import RecipeError
from models.training.state import ResumeError
from models.training.tracking import Say
from models.training.trainer import DivergedError, Interrupted, on_signals

MAX_FAILURES = 5  # so many times in a run the workers are started again

_POLL_S = 0.3
# What another try would only meet again.
_VERDICTS = (ValueError, ResumeError, DivergedError, Interrupted)
_STORAGE = ".ray"  # below the run's folder: Ray Train makes sure that all nodes see the same there


class WorkersFailedError(RuntimeError):
    """Workers were lost, or failed, more often than they are started again."""


def train(
    job: Job, workers: int, say: Say = print, *, address: str | None = None, hire: Hire | None = None
) -> TrainingResult:
    """Run a job on `workers` processes: on a Ray of its own, or on the cluster at `address`.

    Raises what `run.train` raises, WorkersFailedError, and ValueError when there is no room for the workers.
    """
    job = _absolute(job)
    recipe = load_recipe(job.recipe, job.changes)
    try:  # before anything is started
        recipe.training.check_workers(workers)
    except RecipeError as error:
        raise RecipeError(f"{job.recipe}: {error}") from error
    directory = prepare(job, say, hire).directory
    job = dataclasses.replace(job, resume=True)  # from here on, every start of the workers goes on
    with _ray(address, workers):
        import ray

        device, cpus = _share(job.device, workers, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        job = dataclasses.replace(job, device=device)
        say(f"{workers} workers, " + ("a GPU each" if device == "cuda" else f"threads each: {cpus}"))
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        actor: Any = ray.remote(num_cpus=0)(_Desk)
        desk = actor.options(label_selector=here).remote()  # on the driver's node, with which it goes
        outcome: list[Any] = []
        fitting = threading.Thread(
            target=lambda: outcome.append(_fit(job, workers, desk, directory, cpus)), name="fit", daemon=True
        )
        stopping = threading.Event()

        def stop(number: int, frame: object) -> None:
            if stopping.is_set():  # asked again
                os._exit(128 + number)
            stopping.set()

        with on_signals(stop):
            fitting.start()
            while fitting.is_alive():
                if stopping.is_set():
                    desk.stop.remote()
                _pass_on(desk, say)
                time.sleep(_POLL_S)
            _pass_on(desk, say)
    shutil.rmtree(directory / _STORAGE, ignore_errors=True)
    (result,) = outcome
    if isinstance(result, BaseException):
        raise result
    return result


def _absolute(job: Job) -> Job:
    """Workers have working directories of their own."""
    registry = job.registry if "://" in job.registry else str(Path(job.registry).resolve())
    return dataclasses.replace(
        job,
        recipe=job.recipe.resolve(),
        data=job.data.resolve(),
        runs=job.runs.resolve(),
        registry=registry,
        track=experiments.absolute(job.track),
    )


def _share(device: str, workers: int, nodes: Sequence[dict[str, float]]) -> tuple[Literal["cpu", "cuda"], int]:
    """What a worker computes on, and its CPUs. `nodes` are the resources of each. Raises ValueError."""
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    if device == "cuda" and sum(gpus) < workers:
        raise ValueError(f"{workers} workers need a GPU each, and there are {sum(gpus)}")
    if device != "cpu" and sum(gpus) >= workers:
        return "cuda", 1
    if sum(cpus) < workers:
        raise ValueError(f"{workers} workers need a CPU each, and there are {sum(cpus)}")
    # As many as fit so often that every worker finds its place on one of the nodes.
    return "cpu", next(n for n in range(max(cpus), 0, -1) if sum(each // n for each in cpus) >= workers)


@contextmanager
def _ray(address: str | None, workers: int) -> Iterator[None]:
    """A local Ray for as long as the block lasts, or a connection to a cluster."""
    wanted = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_CHDIR_TO_TRIAL_DIR": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if address is None:  # Ray's own ports listen on every interface: only who knows the token is heard
        wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.train
    except ImportError as error:
        raise WorkersFailedError(f'Ray Train is not there ({error}); pip install -e ".[train]"') from error
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is None:
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=max(os.cpu_count() or 1, workers),
            object_store_memory=100 * 2**20,  # messages are small; Ray would take a third of the memory
            _node_ip_address="127.0.0.1",
            **quiet,
        )
    else:
        ray.init(address=address, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


class _Desk:
    """An actor between the driver and the workers: what they say, what went wrong for good, whether to stop."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._stopping = False
        self._verdict: Exception | None = None
        self._starts = 0

    def say(self, line: str) -> None:
        self._lines.append(line)

    def take(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines

    def stop(self) -> None:
        self._stopping = True

    def stopping(self) -> bool:
        return self._stopping

    def fail(self, verdict: Exception) -> None:
        self._verdict = self._verdict or verdict

    def started(self, first: bool) -> Exception | None:
        """A worker begins. What another one failed with for good, if so."""
        self._starts += first
        if first and self._starts > 1 and self._verdict is None:
            self._lines.append(f"a worker was lost: the workers go on from the last state (start {self._starts})")
        return self._verdict


def _pass_on(desk: Any, say: Say) -> None:
    import ray

    for line in ray.get(desk.take.remote()):
        say(line)


def _fit(job: Job, workers: int, desk: Any, directory: Path, cpus: int) -> TrainingResult | BaseException:
    """Outside the main thread, where Ray Train would put a handler for SIGINT of its own."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    cuda, failures = job.device == "cuda", FailureConfig(max_failures=MAX_FAILURES)
    trainer = TorchTrainer(
        _work,  # type: ignore[arg-type]
        train_loop_config={"job": job, "desk": desk, "threads": cpus},
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if cuda else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=cuda, resources_per_worker={"CPU": cpus}),
        run_config=RunConfig(name="run", storage_path=str(directory / _STORAGE), failure_config=failures),
    )
    try:
        result: Any = trainer.fit()
        return result.return_value
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return WorkersFailedError(f"the workers failed more than {MAX_FAILURES} times; the last time: {lines[-1]}")


def _work(config: dict[str, Any]) -> TrainingResult | Exception:
    """One worker, from its start to the end of the run."""
    import ray
    import ray.train

    job, desk = config["job"], config["desk"]
    rank = ray.train.get_context().get_world_rank()
    if verdict := ray.get(desk.started.remote(rank == 0)):
        return verdict
    if job.device == "cpu":
        torch.set_num_threads(config["threads"])
    stopping = threading.Event()
    if rank == 0:
        threading.Thread(target=_listen, args=(desk, stopping), name="listen", daemon=True).start()

    def say(line: str) -> None:
        if rank == 0:
            desk.say.remote(line)

    try:
        prepared = prepare(job, lambda line: None)  # the driver has said it all
        return fit(job, prepared, group=TorchGroup(stopping.is_set), say=say)
    except _VERDICTS as error:
        ray.get(desk.fail.remote(error))
        torch.distributed.destroy_process_group()  # so that nobody waits for this worker
        return error


def _listen(desk: Any, stopping: threading.Event) -> None:
    import ray

    with suppress(ray.exceptions.RayError):  # the driver is gone, and this process goes next
        while not stopping.is_set():
            time.sleep(_POLL_S)
            if ray.get(desk.stopping.remote()):
                stopping.set()
