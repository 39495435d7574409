"""Start the application on a Ray of its own or on a cluster, and stop it again.

Import this only after the environment of `fastpath` is set: Ray Serve reads it once, when it is imported.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import ApplicationStatus

from service.app import build
from service.config import Settings

APPLICATION = "triptych"
STOP_TIMEOUT_S = 9.0
DRAIN_S = 5.0

log = logging.getLogger("triptych.lifecycle")

Progress = Callable[[str], None]


class StartError(RuntimeError):
    """The application did not come up; the message says why."""


@contextmanager
def ray_connection(address: str | None, settings: Settings) -> Iterator[None]:
    """A local Ray for as long as the block lasts, or a connection to the cluster at `address`."""
    if address is None:
        reserved = sum(m.max_replicas * m.cpus_per_replica for m in settings.models.values())
        gateways = settings.gateway.replicas * 0.1
        ray.init(
            address="local",
            namespace=APPLICATION,
            include_dashboard=False,
            num_cpus=max(1, round(reserved + gateways + 0.5)),
            object_store_memory=100 * 2**20,  # messages are small; Ray would take a third of the memory
            logging_level=logging.WARNING,
            _node_ip_address="127.0.0.1",
        )
    else:
        ray.init(address=address, namespace=APPLICATION, logging_level=logging.WARNING)
    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        ray.shutdown()


def start(settings: Settings, progress: Progress) -> None:
    """Deploy and wait until every replica runs. Raises StartError with what Serve has to say."""
    try:
        serve.start(http_options=HTTPOptions(host=settings.host, port=settings.port))
    except Exception as error:  # of many kinds, with the log of a process in another's traceback
        log.debug("Ray Serve did not start", exc_info=True)
        raise StartError(f"Ray Serve did not start: {str(error).strip().splitlines()[-1]}") from error
    deploying: Future[None] = Future()

    def deploy() -> None:
        try:
            serve.run(build(settings), name=APPLICATION, route_prefix="/", logging_config={"log_level": "WARNING"})
            deploying.set_result(None)
        except BaseException as error:
            deploying.set_exception(error)

    threading.Thread(target=deploy, name="deploy", daemon=True).start()
    while not deploying.done():
        progress(_pending())
        time.sleep(0.2)
    if failure := deploying.exception():
        raise StartError(_failure() or str(failure)) from failure


def stop(*, local: bool) -> None:
    """Finish what runs and end the application; with `local`, Ray Serve too. Returns within `STOP_TIMEOUT_S`."""

    async def end() -> None:
        # One after the other: whole answers leave while everything that carries them still stands.
        await _drain_gateways()
        serve.delete(APPLICATION)
        if local:
            logging.getLogger("ray.serve").setLevel(logging.ERROR)  # it warns of closing a handle in its own loop
            serve.shutdown()

    # One event loop for all of it: Serve's handles are bound to the loop that first used them.
    stopping = threading.Thread(target=lambda: asyncio.run(end()), daemon=True)
    stopping.start()
    stopping.join(STOP_TIMEOUT_S)


async def _drain_gateways() -> None:
    try:
        draining = serve.get_app_handle(APPLICATION).broadcast("drain", DRAIN_S)
        await draining.results_async(timeout_s=DRAIN_S + 1)
    except Exception:  # a gateway that is gone already has nothing to drain
        log.warning("the gateways were not drained", exc_info=True)


def _pending() -> str:
    """The deployments that are not up yet, for a progress line."""
    application = serve.status().applications.get(APPLICATION)
    if application is None:
        return ""
    return ", ".join(name for name, d in application.deployments.items() if d.status != "HEALTHY")


def _failure() -> str:
    """The last line of what went wrong in a replica: Serve's message carries the whole traceback."""
    application = serve.status().applications.get(APPLICATION)
    if application is None or application.status != ApplicationStatus.DEPLOY_FAILED:
        return ""
    for name, deployment in application.deployments.items():
        lines = [line for line in deployment.message.splitlines() if "Error" in line]
        if lines and deployment.status != "HEALTHY":
            return f"{name}: {lines[-1].strip()}"
    return application.message
