"""The routes: /translate/file and what becomes of jobs. Files come in as forms and go out as they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.config import GatewaySettings
from service.documents.document import Document, DocumentError
from service.documents.formats import FORMATS, ending, read
from service.errors import InputTooLong, InvalidRequest, NotFinished, Overloaded
from service.gateway.context import RequestContext, timeout_s
from service.gateway.files import answers
from service.gateway.files.at_once import answer
from service.gateway.files.folder import Job
from service.gateway.files.form import MEDIA_TYPE, FileBody, Options, SentFile, read_form
from service.gateway.files.jobs import Jobs
from service.gateway.files.store import Store
from service.gateway.files.threads import in_thread
from service.gateway.files.translator import check_languages, decoding
from service.gateway.openapi import REF, error_answers
from service.gateway.parsing import quoted
from service.gateway.protocol import HttpProtocol
from service.gateway.routing import get
from service.gateway.traffic import Traffic
from service.messages.deadline import unanswered
from service.translating.translating import Report

FILE = "/translate/file"
JOB = f"{FILE}/{{id}}"
RESULT = f"{JOB}/result"
AT_ONCE = 4  # files that a gateway reads and answers at the same time; others wait, unread

MEDIA_TYPES = {
    "txt": "text/plain",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "html": "text/html",
    "htm": "text/html",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
}
T = TypeVar("T")


def _add_routes(app: FastAPI, traffic: Traffic) -> AbstractAsyncContextManager[None]:
    store = Store(traffic.state / "files", traffic.settings.files)
    jobs = Jobs(traffic, store, FILE)
    room = asyncio.Semaphore(AT_ONCE)

    @app.post(FILE, **_posting())
    async def translate_file(request: Request) -> Response:
        context = RequestContext.of(request.scope)
        timeout = timeout_s(request.headers, traffic.settings.request_timeout_s)
        try:
            async with asyncio.timeout(context.left_s(timeout)):
                await room.acquire()
        except TimeoutError:
            raise unanswered(timeout) from None
        try:
            sent, options = await read_form(request)
            model = traffic.catalogue.find("translate", options.model)
            context.model = model.name
            info = await model.info()
            check_languages(options, info)
            decoding(options, info)
            document = await _read(sent, options)
            characters = sum(len(text.text) for text in document.texts)
            context.texts = len(document.texts)
            most = traffic.settings.max_characters
            if not options.job and characters <= most:
                data, report = await answer(traffic, document, options, info, context, timeout, request.receive)
                return _file(data, options.output(sent.name), options.as_read(sent.name), report)
            if options.job is False:
                said = f"the file has texts of {characters} characters, the limit without a job is {most}"
                raise InputTooLong(said, value=characters, limit=most, parameter="job")
            asked = Job(
                name=sent.name,
                output=options.output(sent.name),
                options=options.model_dump(exclude_none=True),
                texts=len(document.texts),
                characters=characters,
                created=time.time(),
                key=_whose(request),
            )
            del document
            try:
                folder = await in_thread(partial(store.add, asked, sent.data))
            except Overloaded:
                traffic.metrics.refused("gateway")
                raise
        finally:
            room.release()
        jobs.look()
        location = f"{request.scope.get('root_path', '')}{FILE}/{folder.id}"
        status = await in_thread(partial(answers.said_of, folder, store))
        return JSONResponse(status, status_code=202, headers={"location": location})

    @get(app, JOB, **_about_jobs("Say how far a job is", {200: {"model": answers.FileJob}}))
    async def job_status(request: Request) -> Response:
        return JSONResponse(await _of(store, request, lambda folder: answers.said_of(folder, store)))

    @get(app, RESULT, **_about_jobs("Fetch the translated file of a job", {200: _FILES}, 409))
    async def job_result(request: Request) -> Response:
        id = request.path_params["id"]

        def look(folder: Any) -> tuple[dict[str, Any], Job | None, bytes]:
            said = answers.said_of(folder, store)
            done = said["status"] == "done"
            return said, folder.job() if done else None, folder.result.read_bytes() if done else b""

        said, job, data = await _of(store, request, look)
        if job is None:
            why = f": {said['error']['message']}" if said["error"] else ""
            raise NotFinished(f"job {id} is {said['status']}{why}; a job that is done has a result")
        options = Options.model_validate(job.options)
        return _file(data, job.output, options.as_read(job.name))

    @app.delete(JOB, **_about_jobs("Remove a job; it ends where it is", {204: {"description": "It is gone"}}))
    async def job_removed(request: Request) -> Response:
        folder = store.find(request.path_params["id"], _whose(request))
        await in_thread(partial(store.remove, folder))
        jobs.stop(folder.id)
        jobs.look()
        return Response(status_code=204)

    return jobs.running()


async def _read(sent: SentFile, options: Options) -> Document:
    name = options.as_read(sent.name)
    if ending(name) not in FORMATS:
        said = f"file is {quoted(sent.name)}, of the endings that can be translated it has none: {', '.join(FORMATS)}"
        raise InvalidRequest(f"{said}; format says what it is", parameter="file", available=[*FORMATS])
    try:
        return await in_thread(partial(read, name, sent.data, options.reading))
    except DocumentError as error:
        raise InvalidRequest(f"file is {quoted(sent.name)}: {error}", parameter="file") from None


async def _of(store: Store, request: Request, look: Callable[[Any], T]) -> T:
    """What a job's folder says; NotFound also where it is removed meanwhile."""
    id, whose = request.path_params["id"], _whose(request)
    try:
        return await in_thread(lambda: look(store.find(id, whose)))
    except FileNotFoundError:
        store.find(id)  # says it
        raise


def _whose(request: Request) -> str | None:
    key = RequestContext.of(request.scope).key
    return None if key is None else key.name


def _file(data: bytes, name: str, read_as: str, report: Report | None = None) -> Response:
    plain = name.isascii() and '"' not in name and name.isprintable()
    disposition = f'attachment; filename="{name}"' if plain else f"attachment; filename*=utf-8''{quote(name)}"
    headers = {
        "content-type": MEDIA_TYPES[ending(read_as)],
        "content-disposition": disposition,
        "x-content-type-options": "nosniff",
    }
    if report is not None:
        headers |= {"x-texts": f"{report.texts}", "x-texts-left": f"{len(report.problems)}"}
    return Response(data, headers=headers)


_FILES: dict[str, Any] = {
    "description": "The translated file",
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted({*MEDIA_TYPES.values()})},
}


def _posting() -> dict[str, Any]:
    form = {"schema": {"$ref": REF.format(model=FileBody.__name__)}}
    return {
        "summary": "Translate a file; a large one becomes a job",
        "tags": ["files"],
        "name": "translate_file",
        "response_class": Response,
        "responses": {
            200: _FILES,
            202: {"model": answers.FileJob, "description": "A job, at the address that the header location has"},
            **error_answers(400, 404, 408, 413, 415, 422, 500, 503, 504),
        },
        "openapi_extra": {"requestBody": {"required": True, "content": {MEDIA_TYPE: form}}},
    }


def _about_jobs(summary: str, success: dict[int, Any], *failures: int) -> dict[str, Any]:
    return {
        "summary": summary,
        "tags": ["files"],
        "response_class": Response,
        "responses": {**success, **error_answers(404, 500, *failures)},
        "openapi_extra": {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]},
    }


def _body_limits(settings: GatewaySettings) -> dict[str, int]:
    return {FILE: settings.files.max_bytes}


FILES = HttpProtocol(
    add_routes=_add_routes,
    body_limits=_body_limits,
    description="Files are translated with their formats kept.",
    schemas=(FileBody,),
)
