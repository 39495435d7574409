"""The Ray Serve deployment of one model: a text engine in a replica, with its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from ray import serve
from ray.serve import Application

from service.config import ModelSettings
from service.errors import NotReady
from service.messages import (
    ClassifyRequest,
    Decoding,
    Event,
    Failure,
    GenerateRequest,
    ModelInfo,
    Request,
    TranslateRequest,
)


class ModelReplica:
    """What the gateway calls, through a handle. Torch is imported here alone, not where the application is built."""

    def __init__(self, name: str, settings: ModelSettings, registry: str, log_level: str) -> None:
        import torch
        from models.registry import Registry

        from models.checkpoint import load
        from service.engine.text_engine import EngineOptions, TextEngine
        from service.observability.logging import configure_logging
        from service.observability.metrics import WorkerMetrics

        configure_logging(log_level)
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self._metrics = WorkerMetrics(name)
        self._engine = TextEngine(
            name,
            load(Registry(registry).resolve(settings.checkpoint)),
            EngineOptions(
                slots=settings.slots,
                max_prompt_tokens=settings.max_prompt_tokens,
                max_new_tokens=settings.max_new_tokens,
                prefill_tokens=settings.prefill_tokens,
                max_waiting=settings.max_waiting,
                device=settings.device,
                precision=settings.precision,
            ),
            self._metrics,
        )
        self._metrics.describe(self._engine.info)

    async def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        events = self._engine.submit(requests)
        try:
            async for batch in events:
                yield batch
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # the client left: cancel what still runs

    async def cancel(self, request_ids: Sequence[str]) -> None:
        self._engine.cancel(request_ids)

    async def describe(self) -> ModelInfo:
        return self._engine.info

    async def canary(self, request_id: str) -> Failure | None:
        """Answer a real prompt; the Failure where that does not work."""
        answer = await self._engine.answer(_canary(self._engine.info, request_id))
        return answer if isinstance(answer, Failure) else None

    async def metrics(self) -> tuple[str, bytes]:
        """This replica's id and its metrics in Prometheus's text format."""
        return serve.get_replica_context().replica_id.unique_id, await asyncio.to_thread(self._metrics.render)

    def check_health(self) -> None:
        if not self._engine.running:
            raise NotReady("the engine's thread has ended")

    def __del__(self) -> None:
        if hasattr(self, "_engine"):  # absent when loading failed
            self._engine.close()


def _canary(info: ModelInfo, request_id: str) -> Request:
    decoding = Decoding(max_new_tokens=1)
    if info.task == "translate":
        source, target = info.language_pairs[0]
        return TranslateRequest(
            id=request_id, text="1", source_language=source, target_language=target, decoding=decoding
        )
    if info.task == "generate":
        return GenerateRequest(id=request_id, text="1", decoding=decoding)
    return ClassifyRequest(id=request_id, text="1")


def deploy_model(name: str, settings: ModelSettings, registry: str, log_level: str) -> Application:
    """The deployment of one model, bound to its settings."""
    scaling: dict = {"num_replicas": settings.min_replicas}
    if settings.max_replicas > settings.min_replicas:
        scaling = {
            "autoscaling_config": {
                "min_replicas": settings.min_replicas,
                "max_replicas": settings.max_replicas,
                "target_ongoing_requests": settings.target_ongoing_requests,
            }
        }
    deployment = serve.deployment(
        name=name,
        # The engine queues and refuses by itself, with better knowledge: Serve must never hold requests back.
        max_ongoing_requests=settings.slots + settings.max_waiting,
        ray_actor_options={"num_cpus": settings.cpus_per_replica, "num_gpus": settings.gpus_per_replica},
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=8,
        health_check_period_s=5,
        **scaling,
    )(ModelReplica)
    return deployment.bind(name, settings, registry, log_level)
