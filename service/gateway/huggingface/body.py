"""What the bodies of all tasks have, in Hugging Face's Inference convention, and what is checked of them.

Knows nothing of the models, whose limits are checked where requests are made.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from service.errors import EmptyInput, InvalidRequest
from service.gateway.answering import Answer
from service.gateway.detection import ToDetect
from service.gateway.fields import Body, taken
from service.gateway.limits import NamedText
from service.gateway.parsing import quoted
from service.gateway.traffic import Envelope
from service.messages import ModelInfo, Request

# What every task takes, and takes last: /docs shows the fields in their order here.
Priority = Annotated[int | None, taken(Request, "priority")]
Streamed = Annotated[bool | None, Field(description="true: server-sent events, for exactly one input")]
ModelName = Annotated[str | None, Field(description="which model, where several serve the task; default: the first")]


def check_count(name: str, count: int, most: int) -> None:
    if not count:
        raise EmptyInput(f"{name} is an empty list")
    if count > most:
        raise InvalidRequest(f"{name} has {count} texts, the limit is {most}", limit=most)


def check_not_empty(texts: Iterable[NamedText]) -> None:
    for each in texts:
        if not each.text.strip():
            raise EmptyInput(f"{each.name} is {quoted(each.text)}: there is nothing to work on", index=each.index)


class InputsBody(Body):
    # No docstrings in here: the documentation would show them.
    expected: ClassVar = {"inputs": "a text, or a list of texts"}
    summary: ClassVar[str]
    does: ClassVar[str]  # what its route does, as a sentence goes on
    answer: ClassVar[Any]  # the type of what is sent; None: there are events alone
    one_event: ClassVar[str] = ""  # what an answer is that comes as a whole, and so is never streamed

    inputs: Sequence[Any]
    parameters: Any = None
    stream: Streamed = None
    model: ModelName = None

    @property
    def streams(self) -> bool:
        return bool(self.stream)

    @property
    def count(self) -> int:  # of the texts that get an answer
        return len(self.inputs)

    def texts(self) -> Iterator[NamedText]:  # none of which may be empty
        for index, text in enumerate(self.inputs):
            yield NamedText(index, f"inputs[{index}]", text)

    def check(self, max_inputs: int) -> None:
        check_count("inputs", self.count, max_inputs)
        self.check_results(max_inputs)
        check_not_empty(self.texts())
        if self.streams:
            self.check_stream()

    def check_results(self, most: int) -> None:
        pass

    def check_stream(self) -> None:
        if self.one_event:
            message = f"stream is true: {self.one_event} is one event, it cannot be streamed"
            raise InvalidRequest(message, parameter="stream")
        if self.count != 1:
            message = f"stream is true with {self.count} inputs, the limit is 1"
            raise InvalidRequest(message, parameter="stream", limit=1)


class TaskBody(InputsBody):
    # What a model answers.
    @property
    def tokens(self) -> bool:  # whether the worker is to send each of them
        return self.streams

    def all_texts(self) -> Iterable[NamedText]:
        return self.texts()

    def called(self, name: str) -> str:  # a parameter of a request
        return "inputs" if name == "text" else f"parameters.{name}"

    def detect(self, info: ModelInfo) -> ToDetect | None:  # what must be known of the texts before
        return None

    @abstractmethod
    def requests(self, info: ModelInfo, envelope: Envelope) -> Sequence[Request]: ...  # one for each of the `count`

    def rendered(self, answers: Sequence[Answer]) -> Any:  # as the JSON of an `answer`
        return [self.rendered_one(answer) for answer in answers]

    @abstractmethod
    def rendered_one(self, answer: Answer) -> Any: ...
