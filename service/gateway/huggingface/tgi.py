"""Text-generation-inference's routes: POST / and /generate_stream, for clients that are given the service's address.

Their bodies are those of POST /generate for one text, with what only that server knows. A temperature and the like
imply sampling even where do_sample is false, which its client always sends. What is wrong has an `error_type` beside
the error, by which its clients choose an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Annotated, Any, ClassVar

from fastapi import FastAPI
from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from service.errors import DeadlineExceeded, InvalidRequest, NotReady, Overloaded, ServiceError
from service.gateway.answering import Answer, Call
from service.gateway.errors import ErrorAnswer, error_object
from service.gateway.fields import TEXT
from service.gateway.huggingface.body import TaskBody
from service.gateway.huggingface.generate import GenerateBody, GenerateParameters, Generation, GenerationDetails
from service.gateway.huggingface.routes import documentation, endpoint
from service.gateway.huggingface.streams import StreamEvent, TokenStream
from service.gateway.parsing import checked
from service.gateway.protocol import HttpProtocol
from service.gateway.streaming import frame
from service.gateway.traffic import Envelope, Traffic
from service.messages import MOST_BEAMS, GenerateRequest, ModelInfo, Task

GENERATE, STREAM = "/", "/generate_stream"
TASKS: dict[str, Task] = {GENERATE: "generate", STREAM: "generate"}
BEST_OF = "parameters.best_of"


class TgiParameters(GenerateParameters):
    best_of: int | None = Field(
        default=None, ge=1, le=MOST_BEAMS, description="draws so many, and answers with the likeliest"
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_sampling_open(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("do_sample") is False:
            return {name: given for name, given in value.items() if name != "do_sample"}
        return value


class BestOfDetails(GenerationDetails):
    best_of_sequences: list[BestOfSequence] | None = None


class BestOfSequence(GenerationDetails):
    generated_text: str


class TgiGeneration(Generation):
    details: BestOfDetails | None = None


def _alone(value: Any) -> Any:
    return [value] if isinstance(value, str) else None


class TgiBody(GenerateBody):
    summary: ClassVar = "Continue a prompt, as text-generation-inference does"
    does: ClassVar = "goes on with a prompt"
    expected: ClassVar = {"inputs": "a text"}
    answer: ClassVar[Any] = list[TgiGeneration]

    inputs: Annotated[list[str], BeforeValidator(_alone), WithJsonSchema(TEXT)]
    parameters: TgiParameters | None = None

    @property
    def best_of(self) -> int:
        return (self.parameters and self.parameters.best_of) or 1

    @property
    def tokens(self) -> bool:
        return super().tokens or self.best_of > 1  # their log-probabilities say which is the likeliest

    def check_results(self, most: int) -> None:
        super().check_results(most)
        if self.best_of == 1:
            return
        decoding = self.decoding
        reasons = {
            f"{self.best_of} results, the limit is {most}": self.best_of > most,
            "stream: which is the likeliest is known at the end": self.streams,
            "num_return_sequences: send one of them": decoding.num_return_sequences > 1,
            "num_beams: a beam search finds the likeliest by itself": decoding.num_beams > 1,
            "greedy decoding: nothing is drawn, so that all would be the same; "
            "set do_sample to true": not decoding.do_sample,
        }
        for reason, holds in reasons.items():
            if holds:
                raise InvalidRequest(f"{BEST_OF} is {self.best_of}, which does not go with {reason}", parameter=BEST_OF)

    def requests(self, info: ModelInfo, envelope: Envelope) -> list[GenerateRequest]:
        """One for each that is drawn: with a seed, this one and those that follow."""
        [first] = super().requests(info, envelope)
        if self.best_of == 1:
            return [first]
        seed = first.decoding.seed
        return [
            replace(
                first,
                decoding=replace(first.decoding, seed=None if seed is None else seed + number),
                **envelope.of(number, first.priority),
            )
            for number in range(self.best_of)
        ]

    def rendered(self, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        best, *others = sorted(answers, key=_mean_logprob, reverse=True) if len(answers) > 1 else answers
        told = self.rendered_one(best)
        if self.details and others:
            told["details"]["best_of_sequences"] = [_sequence(self.rendered_one(other)) for other in others]
        return [told]


def _mean_logprob(answer: Answer) -> float:
    return fmean(token.logprob for token in answer.tokens) if answer.tokens else float("-inf")


def _sequence(told: dict[str, Any]) -> dict[str, Any]:
    return {"generated_text": told["generated_text"], **told["details"]}


class TgiStreamBody(TgiBody):
    summary: ClassVar = "Continue a prompt, token by token, as text-generation-inference does"
    answer: ClassVar = None  # there are events alone

    @property
    def streams(self) -> bool:
        return True


class TgiError(ErrorAnswer):
    error_type: str | None = None


def _error_type(error: ServiceError) -> str | None:
    """None: its clients go by the status."""
    if isinstance(error, Overloaded):
        return "overloaded"
    if isinstance(error, NotReady):
        return "healthcheck"
    if error.status in (413, 422):
        return "validation"
    return "generation" if error.status == 500 else None


def tgi_error(error: ServiceError, request_id: str) -> tuple[int, dict[str, Any]]:
    return error.status, _told(error, request_id, _error_type(error))


def _told(error: ServiceError, request_id: str, kind: str | None) -> dict[str, Any]:
    """Without the index of an input: there is one, and those that are drawn have theirs."""
    told = error_object(error, request_id)
    told["error"].pop("index", None)
    return told if kind is None else {**told, "error_type": kind}


class _Stream(TokenStream):
    def error(self, error: ServiceError, request_id: str) -> bytes:
        broken_off = "incomplete_generation" if isinstance(error, DeadlineExceeded) else None
        return frame(_told(error, request_id, _error_type(error) or broken_off), event="error")


def _add_routes(app: FastAPI, traffic: Traffic) -> None:
    bodies: dict[str, type[TaskBody]] = {GENERATE: TgiBody, STREAM: TgiStreamBody}
    for route, body in bodies.items():
        app.add_api_route(
            route,
            endpoint(traffic, TASKS[route], body, _stream),
            methods=["POST"],
            name=body.__name__,
            **documentation(body, errors=TgiError),
        )


def _stream(call: Call) -> _Stream:
    return _Stream(*call.detected)


def _examples(models: Sequence[ModelInfo], tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """The prompts of the first generator's examples."""
    shown = next((model.examples for model in models if model.task == "generate" and model.examples), {})
    examples = {name: body for name, body in shown.items() if isinstance(body.get("inputs"), str)}
    plain = {name: {key: given for key, given in body.items() if key != "stream"} for name, body in examples.items()}
    streamed = {name: body for name, body in plain.items() if _can_stream(body)}
    return {route: bodies for route, bodies in ((GENERATE, examples), (STREAM, streamed)) if bodies}


def _can_stream(example: dict[str, Any]) -> bool:
    """Several results, and those of a beam search, come as a whole."""
    try:
        checked(example, TgiStreamBody).check_stream()
    except ServiceError:
        return False
    return True


TGI = HttpProtocol(
    add_routes=_add_routes,
    error_shape=tgi_error,
    tasks=TASKS,
    schemas=(TgiBody, TgiStreamBody, StreamEvent, TgiError),
    examples=_examples,
)
