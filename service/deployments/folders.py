"""The texts of many files, translated by all replicas of a translator on a Ray cluster, by Ray Data.

Files are read on the node that asks, and their texts go on in small blocks, whichever file they are of, to actors that
ask the replicas through Ray Serve's handle; no gateway is in between. Files are read no faster than their texts are
translated. Knows nothing of what is done with a translation: whoever iterates gets each as it comes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow  # type: ignore[import-untyped]
import ray
from ray import data, serve
from ray.data import ActorPoolStrategy, TaskPoolStrategy
from ray.exceptions import RayError
from ray.serve.schema import ReplicaState

from service.deployments.lifecycle import NAMESPACE, application_of
from service.deployments.worker import UNREACHABLE, RayWorker
from service.documents.document import DocumentError
from service.errors import NotReady, Overloaded, ServiceError
from service.gateway.languages import Pair, is_auto, resolve_pair
from service.messages import Completion, Decoding, Failure, ModelInfo, Terminal, TranslateRequest
from service.translating.crew import CHARACTERS, PATIENCE_S, TEXTS, Lost, Outcome
from service.translating.files import Job
from service.translating.translating import Key, Opening
from service.translating.translator import LEAST_RETRY_S, PRIORITY, Asked, Translation, Unusable

GATEWAY = "gateway"  # what says that the deployments beside it are models
READERS = 2
FILES = 32  # that are read one after the other
AHEAD = 2  # texts that are with a replica, for each of its slots: who waits takes the place of who ends
BUSY_PATIENCE_S = 900.0  # with replicas that have no room
JOIN_S = 20.0
DESCRIBE_S = 10.0

log = logging.getLogger("triptych.folders")


class Cluster:
    def __init__(self, address: str, asked: Asked) -> None:
        """Joins the cluster. Raises Unusable where it has no such translator, pair or parameter."""
        if is_auto(asked.source):
            raise Unusable(f"--from is {asked.source!r}: on a cluster nobody finds languages out, expected one")
        try:
            _join(address)
            self._application, self._info, self._replicas = _translator(address, asked.model)
        except (*UNREACHABLE, ServiceError, ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            log.debug("no translator was found", exc_info=True)
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise Unusable(f"the Ray cluster at {address} cannot be used: {lines[-1]}") from error
        try:
            self._pair = resolve_pair(self._info.language_pairs, asked.source, asked.target, "--from and --to")
            Decoding(num_beams=asked.num_beams).check_results(self._info.slots)
        except ServiceError as error:
            raise Unusable(error.message) from error
        self._asked = asked

    @property
    def called(self) -> str:
        replicas = f"{self._replicas} replica{'s' if self._replicas > 1 else ''}"
        return f"{self._info.version}, {replicas}"

    @property
    def settings(self) -> str:
        """What a translation depends on besides its text: the same as through HTTP."""
        return repr({**asdict(self._asked), "version": self._info.version})

    def outcomes(self, jobs: Sequence[Job], opening: Opening) -> Iterator[tuple[int, Key | None, Outcome | None]]:
        """For each job, by its place among them, and each of its missing texts what became of it; in any order.

        Once for each job, there is nothing with it, so that those are seen in which nothing is missing, or that cannot
        be read. Raises Unusable where no more can be translated.
        """
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.target_max_block_size = CHARACTERS
        rows = [
            {"file": number, "source": os.fsencode(job.source.absolute()), "output": os.fsencode(job.output.absolute())}
            for number, job in enumerate(jobs)
        ]
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        calls = max(2, AHEAD * self._info.slots // self._asked.num_beams // TEXTS)
        # No CPUs are reserved, for a cluster's may all be the replicas': readers are few, and actors only wait.
        texts = data.from_items(rows, override_num_blocks=-(-len(rows) // FILES)).flat_map(
            _Texts(opening), compute=TaskPoolStrategy(size=READERS), num_cpus=0, label_selector=here
        )
        translated = texts.map_batches(
            Asker,
            fn_constructor_args=(self._application, self._info.name, self._pair, self._asked.num_beams),
            compute=ActorPoolStrategy(size=self._replicas, max_concurrent_calls_per_actor=calls),
            batch_size=TEXTS,
            batch_format="pyarrow",
            num_cpus=0,
        )
        try:
            for row in translated.iter_rows():
                if row["unusable"]:
                    raise Unusable(row["unusable"])
                if not row["format"]:
                    yield row["file"], None, None
                elif row["lost"]:
                    yield row["file"], (row["text"], row["format"]), Lost(row["lost"])
                else:
                    done = Translation(row["translation"], row["finish_reason"] or None)
                    yield row["file"], (row["text"], row["format"]), done
        except RayError as error:
            log.debug("the texts did not come back", exc_info=True)
            raise Unusable(f"the Ray cluster gave up: {str(error).strip().splitlines()[-1]}") from error


def _join(address: str) -> None:
    """Within seconds: where somebody listens who is no Ray, Ray itself tries for minutes."""
    outcome: Future[None] = Future()

    def join() -> None:
        try:
            ray.init(address=address, namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False)
            outcome.set_result(None)
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=join, name="join", daemon=True).start()
    try:
        outcome.result(JOIN_S)
    except TimeoutError:
        if outcome.done():
            raise
        raise TimeoutError(f"no Ray answered within {JOIN_S:g} s") from None
    for noisy in ("ray.serve", "ray.data"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _translator(address: str, model: str | None) -> tuple[str, ModelInfo, int]:
    """The application, what its model is, and how many replicas run."""
    served = []
    for application, status in serve.status().applications.items():
        for name, deployment in status.deployments.items():
            if name == GATEWAY or not (application == application_of(name) or GATEWAY in status.deployments):
                continue
            replicas = deployment.replica_states.get(ReplicaState.RUNNING, 0)
            if not replicas:
                continue
            info = asyncio.run(_described(application, name))
            if info.task == "translate":
                served.append(name)
                if model in (None, name):
                    return application, info, replicas
    there = f"; there are: {', '.join(served)}" if served else ""
    raise Unusable(
        f"the Ray cluster at {address} serves no translator{f' {model}' if model else ''}{there}; "
        f"start one with: triptych serve --address {address}"
    )


async def _described(application: str, model: str) -> ModelInfo:
    return await asyncio.wait_for(_connected(application, model).describe(), DESCRIBE_S)


def _connected(application: str, model: str) -> RayWorker:
    """To be called in the event loop that uses it."""
    return RayWorker(model, serve.get_deployment_handle(model, application, _check_exists=False))


class _Texts:
    """The texts of a file that are still to be translated, and one row without any."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"file": row["file"], "text": "", "format": ""}
        job = Job(*(Path(os.fsdecode(row[name])) for name in ("source", "output")))
        try:
            missing = self._opening(job).missing
        except (DocumentError, OSError):
            return  # whoever gets the row meets it, too
        for text in missing:
            yield {"file": row["file"], "text": text.text, "format": text.format}


class Asker:
    """An actor of Ray Data's, in which many batches wait at the same time."""

    def __init__(self, application: str, model: str, pair: Pair, num_beams: int) -> None:
        self._application, self._model = application, model
        self._worker: RayWorker | None = None
        self._pair, self._decoding = pair, Decoding(num_beams=num_beams)

    async def __call__(self, rows: pyarrow.Table) -> pyarrow.Table:
        asked = [
            TranslateRequest(
                id=uuid.uuid4().hex,
                text=row["text"],
                format=row["format"],
                source_language=self._pair[0],
                target_language=self._pair[1],
                decoding=self._decoding,
                priority=PRIORITY,
            )
            for row in rows.to_pylist()
        ]
        self._worker = self._worker or _connected(self._application, self._model)
        unusable, answers = "", {}
        try:
            answers = await answered(self._worker, [request for request in asked if request.format])
        except Unusable as error:  # said by value: Ray Data would wrap it
            unusable = str(error)
        said = [answers.get(request.id) for request in asked]
        done = [each if isinstance(each, Completion) else None for each in said]
        columns = {
            "translation": [each.text if each else "" for each in done],
            "finish_reason": [
                each.finish_reason if each and each.finish_reason != "eos_token" else "" for each in done
            ],
            "lost": [each.message if isinstance(each, Failure) else "" for each in said],
            "unusable": [unusable] * len(asked),
        }
        for name, values in columns.items():
            rows = rows.append_column(name, pyarrow.array(values, pyarrow.string()))
        return rows


async def answered(worker: RayWorker, requests: Sequence[TranslateRequest]) -> dict[str, Terminal]:
    """What became of each, by its id. Who is refused for want of room or of a replica is asked for again.

    Raises Unusable where that goes on, or where what is wrong is wrong for every text.
    """
    waiting = {request.id: request for request in requests}
    found: dict[str, Terminal] = {}
    in_vain_since = time.monotonic()
    while waiting:
        said = await _said(worker, [*waiting.values()])
        refused = {id: each for id, each in said.items() if isinstance(each, Failure) and _comes_again(each)}
        if len(refused) < len(said):
            in_vain_since = time.monotonic()
        for id, event in said.items():
            if isinstance(event, Failure) and "parameter" in event.details:
                raise Unusable(event.message)
            if id not in refused:
                found[id] = event
                del waiting[id]
        if refused:
            error = next(iter(refused.values())).error()
            patience_s = BUSY_PATIENCE_S if isinstance(error, Overloaded) else PATIENCE_S
            if time.monotonic() - in_vain_since >= patience_s:
                raise Unusable(f"nothing was translated for {patience_s:g} s: {error.message}")
            await asyncio.sleep(max(error.retry_after_s, LEAST_RETRY_S))
    return found


async def _said(worker: RayWorker, requests: Sequence[TranslateRequest]) -> dict[str, Terminal]:
    """The last event of each."""
    found: dict[str, Terminal] = {}
    broken: ServiceError = NotReady(f"model {worker.name!r} broke off")
    try:
        async for events in worker.submit(requests):
            found |= {event.request_id: event for event in events if isinstance(event, Terminal)}
    except ServiceError as error:
        broken = error
    return {request.id: found.get(request.id) or Failure.of(request.id, broken) for request in requests}


def _comes_again(failure: Failure) -> bool:
    return isinstance(failure.error(), NotReady | Overloaded)
