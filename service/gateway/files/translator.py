"""The gateway's own traffic as who translates the texts of a file: a `service.translating.translator.Translator`.

Knows nothing of files, and of what becomes of its translations.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future

from starlette.types import Message

from service.documents.document import Text
from service.errors import (
    BadRequest,
    DeadlineExceeded,
    NotFound,
    NotReady,
    Overloaded,
    ServiceError,
)
from service.gateway.context import RequestContext
from service.gateway.detection import ToDetect
from service.gateway.files.form import Options
from service.gateway.languages import Choice
from service.gateway.limits import NamedText, check_decoding
from service.gateway.traffic import Asked, Envelope, Traffic
from service.messages import Completion, Decoding, ModelInfo, TranslateRequest
from service.translating.translating import Report
from service.translating.translator import LEAST_RETRY_S, PRIORITY, Busy, Failed, Translation, Unusable

MOST_RETRY_S = 5.0  # it costs nothing to ask again in the same process


def languages(options: Options) -> Choice:
    return Choice(options.src_lang, options.tgt_lang, "src_lang and tgt_lang")


def check_languages(options: Options, info: ModelInfo) -> None:
    """Raises for a pair that there is not."""
    if languages(options).possible(info.language_pairs) is None:
        languages(options).of(info.language_pairs, (), 1)


def decoding(options: Options, info: ModelInfo) -> Decoding:
    """Raises where the model has no room for so many beams."""
    wanted = Decoding(num_beams=options.num_beams or 1)
    check_decoding(wanted, info)
    return wanted


class GatewayTranslator:
    patience_s = math.inf

    def __init__(
        self,
        traffic: Traffic,
        options: Options,
        info: ModelInfo,
        *,
        context: Callable[[], RequestContext],  # of one call
        timeout_s: float,  # of a call, since its context was made
        at_once: int,
        waits: bool,
    ) -> None:
        """To be made where the event loop runs that its calls are to run in.

        Unless it `waits`, it is Unusable where there is no room for its first call, and when one is late.
        """
        self.at_once = at_once
        self.called = f"model {info.name!r}"
        asked = [options.src_lang, options.tgt_lang, options.num_beams or 1]
        self.settings = repr({"asked": asked, "version": info.version})
        self._traffic, self._options, self._name = traffic, options, info.name
        self._context, self._timeout_s = context, timeout_s
        self._waits = waits
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._calls: set[Future[list[Translation]]] = set()
        self._stopped = False
        self._answered = False
        self._failure: ServiceError | None = None  # the last that was said of a text

    def stop(self) -> None:
        """What is being asked is cancelled, and whoever asks hears that it is Unusable."""
        with self._lock:
            self._stopped = True
            calls = [*self._calls]
        for call in calls:
            call.cancel()

    def translate(self, texts: Sequence[Text]) -> list[Translation]:
        with self._lock:
            if self._stopped:
                raise Unusable("stopped")
            call = asyncio.run_coroutine_threadsafe(self._ask(texts), self._loop)
            self._calls.add(call)
        try:
            translations = call.result()
        except CancelledError:
            raise Unusable("stopped") from None
        except ServiceError as error:
            raise self._said(error) from error
        finally:
            with self._lock:
                self._calls.discard(call)
        self._answered = True
        return translations

    def nothing_done(self, report: Report) -> ServiceError | None:
        """What there is to say of a file none of whose texts could be translated."""
        if self._failure is None or not report.failed or len(report.failed) < report.texts:
            return None
        first = report.failed[0]
        said = f"none of the file's {report.texts} texts could be translated; {first.place}: {first.reason}"
        return type(self._failure)(said)

    def _said(self, error: ServiceError) -> Exception:
        if isinstance(error, Overloaded | NotReady):
            if self._waits or self._answered:
                return Busy(min(max(error.retry_after_s, LEAST_RETRY_S), MOST_RETRY_S), error.message)
            return Unusable(error.message)
        late = isinstance(error, DeadlineExceeded) and not self._waits
        if late or isinstance(error, BadRequest | NotFound) or "parameter" in error.details:
            return Unusable(error.message)
        self._failure = error
        index = error.details.get("index")
        return Failed(error.message, index if isinstance(index, int) else None)

    async def _ask(self, texts: Sequence[Text]) -> list[Translation]:
        asked = Asked(
            task="translate",
            model=self._name,
            inputs=len(texts),
            texts=[NamedText(index, each.place, each.text) for index, each in enumerate(texts)],
            requests=lambda info, envelope: self._requests(texts, info, envelope),
            detect=lambda info: self._detect(texts, info),
        )
        call = await self._traffic.call(self._context(), self._timeout_s, asked)
        answers = await self._traffic.answering.all(call, _nobody_leaves)
        return [_translation(answer.result) for answer in answers]

    def _detect(self, texts: Sequence[Text], info: ModelInfo) -> ToDetect | None:
        possible = languages(self._options).possible(info.language_pairs)
        return None if possible is None else ToDetect([each.text for each in texts], possible)

    def _requests(self, texts: Sequence[Text], info: ModelInfo, envelope: Envelope) -> list[TranslateRequest]:
        options = self._options
        pairs = languages(options).of(info.language_pairs, envelope.detected, len(texts))
        return [
            TranslateRequest(
                text=text.text,
                format=text.format,
                source_language=source,
                target_language=target,
                decoding=decoding(options, info),
                **envelope.patient(index, PRIORITY),
            )
            for index, (text, (source, target)) in enumerate(zip(texts, pairs, strict=True))
        ]


def _translation(result: object) -> Translation:
    assert isinstance(result, Completion)
    return Translation(result.text, None if result.finish_reason == "eos_token" else result.finish_reason)


async def _nobody_leaves() -> Message:
    """Who a file is for is watched elsewhere, if anybody waits for it at all."""
    await asyncio.Event().wait()
    raise AssertionError
