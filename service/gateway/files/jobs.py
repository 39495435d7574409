"""Works on the jobs that are there, a few at a time, and lets go of them when the gateway ends: another one goes on.

A job waits for models that have no room or are gone, however long. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from service.documents.document import DocumentError, Problem
from service.errors import InvalidRequest, NotReady, ServiceError
from service.gateway.context import RequestContext
from service.gateway.errors import UNEXPECTED, error_answer
from service.gateway.files.folder import End, Job, JobFolder, Progress, Told
from service.gateway.files.form import Options
from service.gateway.files.store import Store
from service.gateway.files.threads import in_thread
from service.gateway.files.translator import GatewayTranslator
from service.gateway.traffic import Traffic
from service.messages import ModelInfo
from service.translating.files import overwrite
from service.translating.journal import Journal
from service.translating.translating import Report, translate
from service.translating.translator import Unusable

LOOK_S = 2.0  # between two looks for jobs that others have added, left or removed
SWEEP_S = 60.0
STOP_S = 2.0  # for the work to come to a halt when the gateway ends
TELL_S = 1.0
RETRY_S = 5.0
CALL_S = 600.0  # that a call may wait and take: a job has time
REQUESTS_AT_ONCE = 2  # which keep the model busy, and leave room for whoever waits for an answer
MOST_IN_VAIN = 3  # a file that ends the process that reads it must not do so for ever
SHOWN = 20  # texts that are told of each kind

log = logging.getLogger("triptych.files")


class Jobs:
    def __init__(self, traffic: Traffic, store: Store, route: str) -> None:
        self._traffic, self._store, self._route = traffic, store, route
        self._at_once = traffic.settings.files.at_once
        self._working: dict[str, _Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._given_up: set[str] = set()  # whose end could not be written
        self._wake = asyncio.Event()
        self._ending = False
        self._sweep_at = 0.0

    def look(self) -> None:
        """There is a new job, or one less."""
        self._wake.set()

    def stop(self, id: str) -> None:
        if work := self._working.get(id):
            work.stop()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        looking = asyncio.create_task(self._look_always())
        try:
            yield
        finally:
            self._ending = True
            self.look()
            await looking
            for work in self._working.values():
                work.stop()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_S)

    async def _look_always(self) -> None:
        said = ""
        while not self._ending:
            self._wake.clear()
            try:
                await self._look()
                said = ""
            except Exception as error:
                if said != (said := repr(error)):  # once, not every time
                    log.exception("the jobs in %s cannot be looked at", self._store.folder)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()

    async def _look(self) -> None:
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_S
            await in_thread(self._store.sweep)
        for work in self._working.values():
            if not work.folder.path.is_dir():
                work.stop()
        while len(self._working) < self._at_once and not self._ending:
            taken = await in_thread(partial(self._store.take, {*self._working, *self._given_up}))
            if taken is None:
                return
            folder, lock = taken
            self._working[folder.id] = work = _Work(self._traffic, folder, self._route)
            task = asyncio.create_task(self._finish(work, lock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish(self, work: _Work, lock: int) -> None:
        id = work.folder.id
        began = time.monotonic()
        try:
            end = await work.end()
            if end is not None:
                work.folder.write(end)
                work.folder.forget()
                said = "done" if end.error is None else f"failed: {end.error['message']}"
                log.info("job %s is %s, after %.1f s of this process", id, said, time.monotonic() - began)
        except Exception:
            if work.folder.is_whole:
                log.exception("job %s cannot be kept", id)
                self._given_up.add(id)
            else:
                log.info("job %s was removed", id)
        finally:
            os.close(lock)
            if not work.folder.is_whole:  # it was removed while something was being written
                self._store.remove(work.folder)
            del self._working[id]
            self.look()


class _Work:
    """On one job, by one process."""

    def __init__(self, traffic: Traffic, folder: JobFolder, route: str) -> None:
        self.folder = folder
        self._traffic, self._route = traffic, route
        self._translator: GatewayTranslator | None = None
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()
        if self._translator is not None:
            self._translator.stop()

    async def end(self) -> End | None:
        """None where it was stopped before. Raises OSError where the folder cannot be written."""
        try:
            return await self._end()
        except OSError:
            raise
        except Exception as error:
            if self._stopped.is_set():
                self._take(back=True)
                return None
            return End(at=time.time(), error=_told(error, self.folder.id))

    async def _end(self) -> End:
        job = self.folder.job()
        options = Options.model_validate(job.options)
        key = self._traffic.access.of_name(job.key)
        self._take()
        info = await self._info(options)
        self._translator = translator = GatewayTranslator(
            self._traffic,
            options,
            info,
            context=lambda: RequestContext(self.folder.id, self._route, error_answer, key=key),
            timeout_s=CALL_S,
            at_once=REQUESTS_AT_ONCE,
            waits=True,
        )
        data, report = await in_thread(partial(self._translate, job, options, translator))
        if error := translator.nothing_done(report):
            raise error
        await in_thread(partial(overwrite, self.folder.result, data))
        return End(at=time.time(), left=_first(report.problems), doubtful=_first(report.doubts), notes=[*report.notes])

    def _take(self, back: bool = False) -> None:
        """Note that a process has taken the job, and that it gives it back in good order."""
        progress = self.folder.progress() or Progress(done=0, total=self.folder.job().characters)
        if not back and progress.in_vain >= MOST_IN_VAIN:
            raise InvalidRequest(f"{progress.in_vain} times a process ended that had just taken up this file")
        in_vain = max(progress.in_vain - 1, 0) if back else progress.in_vain + 1
        self.folder.write(Progress(done=progress.done, total=progress.total, in_vain=in_vain))

    async def _info(self, options: Options) -> ModelInfo:
        while True:
            try:
                return await self._traffic.catalogue.find("translate", options.model).info()
            except NotReady as error:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(error.retry_after_s, RETRY_S)):
                        await self._stopped.wait()
                        raise

    def _translate(self, job: Job, options: Options, translator: GatewayTranslator) -> tuple[bytes, Report]:
        """In a thread."""
        first: int | None = None
        told_at = 0.0

        def tell(done: int, total: int) -> None:
            nonlocal first, told_at
            first = done if first is None else first
            if done > first and (time.monotonic() >= told_at + TELL_S or done == total):
                told_at = time.monotonic()
                self.folder.write(Progress(done=done, total=total))

        try:
            data = self.folder.source.read_bytes()
        except OSError as error:
            raise InvalidRequest(f"the file that was sent cannot be read any more: {error.strerror}") from None
        journal = Journal(self.folder.journal, translator.settings)
        try:
            return translate(options.as_read(job.name), data, options.reading, translator, journal, tell)
        finally:
            journal.close()


def _told(error: Exception, id: str) -> dict[str, str]:
    cause = error.__cause__ if isinstance(error, Unusable) else error
    if isinstance(cause, DocumentError):
        cause = InvalidRequest(f"{cause}")
    if not isinstance(cause, ServiceError):
        log.error("job %s failed", id, exc_info=error)
        cause = ServiceError(UNEXPECTED.replace("request_id", "id"))
    return {"code": cause.code, "message": cause.message}


def _first(problems: Sequence[Problem]) -> Told:
    first = [{"place": each.place, "reason": each.reason} for each in problems[:SHOWN]]
    return Told(count=len(problems), first=first)
