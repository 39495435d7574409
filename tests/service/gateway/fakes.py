"""A worker that does what a test tells it to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import NoneType
from typing import get_args

from service.errors import InvalidRequest, NotReady, ServiceError
from service.gateway.fields import Body
from service.messages import (
    Accepted,
    Alignment,
    Alternative,
    Classification,
    ClassifyRequest,
    Completion,
    Decoding,
    Detokenize,
    Event,
    Failure,
    GenerateRequest,
    ModelInfo,
    Request,
    Result,
    Task,
    Terminal,
    TextToken,
    Timing,
    Token,
    Tokenize,
    TopToken,
    TranslateRequest,
)
from service.messages.embed import Embedding, EmbedRequest

VECTORS = {"east": (1.0, 0.0), "far east": (3.0, 0.0), "north": (0.0, 1.0), "west": (-1.0, 0.0)}
PAIRS = (("fr", "en"), ("en", "fr"), ("ko", "en"))
EXAMPLES: dict[Task, dict] = {
    "translate": {
        "One text": {"inputs": "bonjour", "parameters": {"src_lang": "fr"}},
        "A stream": {"inputs": "un deux", "parameters": {"src_lang": "fr"}, "stream": True},
    },
    "generate": {
        "Greedy": {"inputs": "once upon"},
        "A stream": {"inputs": "once upon", "parameters": {"top_n_tokens": 2}, "stream": True},
    },
    "classify": {"A pair": {"inputs": {"text": "a", "text_pair": "b"}}},
    "embed": {"Two texts": {"inputs": ["a", "b"]}},
}


def model_info(name: str, task: Task, **changes: object) -> ModelInfo:
    values: dict = {
        "name": name,
        "task": task,
        "version": f"{name}@1",
        "architecture": "gpt",
        "parameters": 1000,
        "device": "cpu",
        "precision": "float32",
        "slots": 4,
        "max_prompt_tokens": 64,
        "max_new_tokens": 32,
        "language_pairs": PAIRS if task == "translate" else (),
        "labels": ("good", "bad") if task == "classify" else (),
        "takes_pairs": task == "classify",
        "examples": EXAMPLES[task],
    }
    return ModelInfo(**(values | changes))


class FakeWorker:
    """Answers each text with itself in capitals, a word a token, up to a stop string; so a conversation's last message,
    and token ids as they are written.

    `refusing` maps texts to the error that they get before they are accepted, `failing` to the one after that;
    `holding` texts are answered only after `release()`; `breaks` is raised by the iterator in place of answers; `mute`
    ends it without any; `hanging` says nothing at all, as a stopped process does.
    """

    def __init__(self, name: str, task: Task = "generate", **info: object) -> None:
        self.name = name
        self.info = model_info(name, task, **info)
        self.batches: list[list[Request]] = []
        self.cancelled: list[str] = []
        self.answered: list[str] = []  # texts, in the order of their answers
        self.closed = 0  # submit calls that were closed before their end
        self.running = 0
        self.described = 0
        self.canaries = 0
        self.holding: set[str] = set()
        self.holding_after_first: set[str] = set()
        self.refusing: dict[str, ServiceError] = {}
        self.failing: dict[str, ServiceError] = {}
        self.failing_after_first: dict[str, ServiceError] = {}
        self.breaks: Exception | None = None
        self.mute = False
        self.ready = True
        self.hanging = False
        self.reloading: ServiceError | None = None  # what a reload raises
        self.exposition: list[tuple[str, bytes]] | Exception = []
        self._released = asyncio.Event()

    @property
    def seen(self) -> list[Request]:
        return [request for batch in self.batches for request in batch]

    def release(self) -> None:
        self._released.set()

    async def submit(self, requests: Sequence[Request]) -> AsyncIterator[list[Event]]:
        self.batches.append(list(requests))
        self.running += 1
        queue: asyncio.Queue[list[Event]] = asyncio.Queue()
        tasks = {request.id: asyncio.create_task(self._answer(request, queue)) for request in requests}
        ended: set[str] = set()
        getting: asyncio.Task[list[Event]] | None = None
        try:
            while len(ended) < len(tasks):
                if self.breaks is not None:
                    raise self.breaks
                if self.mute:
                    return
                getting = asyncio.create_task(queue.get())
                await asyncio.wait({getting}, timeout=0.005)
                if not getting.done():
                    getting.cancel()
                else:
                    events = getting.result()
                    ended |= {event.request_id for event in events if isinstance(event, Terminal)}
                    yield events
                for request_id in set(self.cancelled) & tasks.keys() - ended:
                    tasks[request_id].cancel()
                    ended.add(request_id)
        except (GeneratorExit, asyncio.CancelledError):
            self.closed += 1
            raise
        finally:
            self.running -= 1
            for task in (*tasks.values(), *([getting] if getting else [])):
                task.cancel()

    async def _answer(self, request: Request, queue: asyncio.Queue[list[Event]]) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        said = _said(request)
        if said in self.refusing:
            queue.put_nowait([Failure.of(request.id, self.refusing[said])])
            return
        if request.stream:
            queue.put_nowait([Accepted(request_id=request.id)])
        if said in self.holding:
            await self._released.wait()
        if said in self.failing:
            queue.put_nowait([Failure.of(request.id, self.failing[said])])
            return
        words = _text(request).split(" ")
        tokens = [
            Token(
                request_id=request.id,
                index=i,
                id=i + 10,
                text=word if i == 0 else f" {word}",
                logprob=-0.5,
                top_tokens=_top_tokens(request, i + 10),
            )
            for i, word in enumerate(words)
        ]
        streamed = tokens if request.stream else []
        for token in streamed[:-1]:
            queue.put_nowait([token])
            if said in self.failing_after_first:
                queue.put_nowait([Failure.of(request.id, self.failing_after_first[said])])
                return
            if said in self.holding_after_first:
                await self._released.wait()
            await asyncio.sleep(0)
        self.answered.append(said)
        queue.put_nowait([*streamed[-1:], self._result(request, tokens)])

    def _result(self, request: Request, tokens: list[Token]) -> Result:
        timing = Timing(queue_ms=1.25, inference_ms=3.5)
        if isinstance(request, ClassifyRequest):
            scores = (("good", 0.75), ("bad", 0.25))[: request.top_k]
            return Classification(
                request_id=request.id, scores=scores, prompt_tokens=3, timing=timing, model_version=self.info.version
            )
        if isinstance(request, EmbedRequest):
            vector = VECTORS.get(request.text, (0.6, 0.8))
            return Embedding(
                request_id=request.id, vector=vector, prompt_tokens=3, timing=timing, model_version=self.info.version
            )
        before = _before(request)
        results = _results(request, before)
        return Completion(
            request_id=request.id,
            text=before + _text(request),
            finish_reason="stop_sequence" if _text(request).upper() != _said(request).upper() else "eos_token",
            prompt_tokens=3,
            generated_tokens=len(tokens),
            seed=request.decoding.seed,
            score=results[0].score if len(results) > 1 else None,
            alternatives=tuple(results[1:]),
            alignment=_alignment(request, tokens),
            timing=timing,
            model_version=self.info.version,
        )

    async def cancel(self, request_ids: Sequence[str]) -> None:
        self.cancelled.extend(request_ids)

    async def describe(self) -> ModelInfo:
        self.described += 1
        if self.hanging:
            await asyncio.Event().wait()
        if not self.ready:
            raise NotReady("still loading")
        return self.info

    async def tokenize(self, asked: Tokenize) -> list[list[TextToken]]:
        """A token a character, which is its number."""
        if self.hanging:
            await asyncio.Event().wait()
        start = [TextToken(id=1, text="<s>", special=True)] if asked.add_special_tokens else []
        return [
            [*start, *(TextToken(id=ord(c), text=c, start=n, stop=n + 1) for n, c in enumerate(text))]
            for text in asked.texts
        ]

    async def detokenize(self, asked: Detokenize) -> list[str]:
        if any(id >= 0xD800 for ids in asked.ids for id in ids):
            raise InvalidRequest("an id is too high", index=0)
        return ["".join(map(chr, ids)) for ids in asked.ids]

    async def canary(self) -> None:
        self.canaries += 1
        if self.hanging:
            await asyncio.Event().wait()
        if not self.ready:
            raise NotReady("still loading")

    async def reload(self, reference: str | None) -> ModelInfo:
        if self.reloading is not None:
            raise self.reloading
        name, _, version = (reference or f"{self.name}@2").partition("@")
        self.info = replace(self.info, version=f"{name}@{version or 2}")
        return self.info

    async def metrics(self) -> list[tuple[str, bytes]]:
        if isinstance(self.exposition, Exception):
            raise self.exposition
        return self.exposition


def _said(request: Request) -> str:
    if isinstance(request, GenerateRequest) and request.messages:
        return request.messages[-1].content
    if isinstance(request, GenerateRequest) and request.token_ids:
        return " ".join(map(str, request.token_ids))
    return request.text


def _before(request: TranslateRequest | GenerateRequest) -> str:
    if isinstance(request, TranslateRequest):
        return request.target_prefix
    return request.text if request.return_full_text else ""


def _results(request: TranslateRequest | GenerateRequest, before: str) -> list[Alternative]:
    """The text, then with one mark more for each: scores -1, -2, ..."""
    decoding = request.decoding
    return [
        Alternative(
            text=before + _text(request) + "!" * n,
            score=-1.0 - n,
            seed=(decoding.seed or 0) + n if decoding.do_sample else None,
        )
        for n in range(decoding.num_return_sequences)
    ]


def _alignment(request: TranslateRequest | GenerateRequest, tokens: list[Token]) -> Alignment | None:
    """Each word comes from the word at its place."""
    if not isinstance(request, TranslateRequest) or not request.return_alignment:
        return None
    count = len(tokens)
    return Alignment(
        source_tokens=tuple(request.text.split(" ")),
        target_tokens=tuple(token.text for token in tokens),
        weights=tuple(tuple(float(row == column) for column in range(count)) for row in range(count)),
    )


def _decoding(request: Request) -> Decoding:
    """Of a request whose answer is no text, what asks for nothing."""
    return getattr(request, "decoding", Decoding())


def _text(request: Request) -> str:
    text = _said(request).upper()
    if isinstance(request, TranslateRequest) and request.format != "text":
        text = "".join(part if part.startswith("<") else part.upper() for part in re.split("(<[^>]*>)", request.text))
    for stop in _decoding(request).stop:
        text = text.partition(stop)[0]
    return text


def _top_tokens(request: Request, token: int) -> tuple[TopToken, ...]:
    count = _decoding(request).top_n_tokens
    return tuple(TopToken(id=token + n, text=str(n), logprob=-0.5 - n) for n in range(count))


def parameters_type(body: type[Body]) -> type[Body]:
    """The type of a body's `parameters`."""
    return next(kind for kind in get_args(body.model_fields["parameters"].annotation) if kind is not NoneType)
