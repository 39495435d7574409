"""A file that is answered at once: as with any request, until its deadline or its client's leaving.

Knows nothing of jobs.
"""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.types import Receive

from service.documents.document import Document
from service.errors import Cancelled, ServiceError
from service.gateway.context import RequestContext
from service.gateway.files.form import Options
from service.gateway.files.threads import in_thread
from service.gateway.files.translator import GatewayTranslator
from service.gateway.traffic import Traffic
from service.messages import ModelInfo
from service.messages.deadline import unanswered
from service.translating.journal import Journal
from service.translating.translating import Report, translate_document
from service.translating.translator import Unusable

REQUESTS_AT_ONCE = 8


async def answer(
    traffic: Traffic,
    document: Document,
    options: Options,
    info: ModelInfo,
    context: RequestContext,
    timeout_s: float,
    receive: Receive,
) -> tuple[bytes, Report]:
    translator = GatewayTranslator(
        traffic,
        options,
        info,
        context=lambda: context,
        timeout_s=timeout_s,
        at_once=REQUESTS_AT_ONCE,
        waits=False,
    )

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        context.client_left = True
        translator.stop()

    watching = asyncio.create_task(watch())
    nothing_kept = Journal(None, translator.settings)
    try:
        async with asyncio.timeout(context.left_s(timeout_s)):
            data, report = await in_thread(
                partial(translate_document, document, translator, nothing_kept, lambda done, total: None)
            )
    except TimeoutError:
        raise unanswered(timeout_s) from None
    except Unusable as error:
        if context.client_left:
            raise Cancelled("the client left") from None
        if isinstance(error.__cause__, ServiceError):
            raise error.__cause__ from None
        raise
    finally:
        watching.cancel()
        translator.stop()
    if failed := translator.nothing_done(report):
        raise failed
    return data, report
