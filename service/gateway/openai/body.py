"""What the bodies of all routes have in common. Knows nothing of the models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from service.errors import EmptyInput, InvalidRequest
from service.gateway.answering import Answer
from service.gateway.fields import Body
from service.gateway.limits import NamedText
from service.gateway.parsing import quoted
from service.gateway.traffic import Envelope
from service.messages import ModelInfo, Request, Task

ModelName = Annotated[str | None, Field(description="a model of /v1/models; default: the first that does this")]
User = Annotated[str | None, Field(description="who asks, which changes nothing")]

# What Hugging Face's clients send that do not know a name: these words, or the address that they were given.
_NAMELESS = ("tgi", "dummy")
_ADDRESS = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What every part of an answer says of the call."""

    id: str
    created: int  # seconds since 1970
    model: str
    fingerprint: str | None  # what answers of the same seed are compared by: the checkpoint's version

    def of(self, kind: str, prefix: str) -> dict[str, Any]:
        return {
            "id": f"{prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


class OpenAIBody(Body):
    # No docstrings in here: the documentation would show them.
    task: ClassVar[Task]
    summary: ClassVar[str]
    answer: ClassVar[Any]  # the type of what is sent
    event: ClassVar[Any] = None  # of a stream, where there is one
    inputs: ClassVar[str]  # the field that has them
    renamed: ClassVar[dict[str, str]] = {}  # parameter of a request -> what it is called here

    model: ModelName = None

    @property
    def model_name(self) -> str | None:
        nameless = self.model in _NAMELESS or (self.model or "").startswith(_ADDRESS)
        return None if nameless else self.model

    @property
    def tokens(self) -> bool:  # whether the worker is to send each of them
        return False

    @property
    @abstractmethod
    def count(self) -> int: ...  # of the requests that are made of it

    @abstractmethod
    def texts(self) -> Sequence[NamedText]: ...

    def check(self, max_inputs: int) -> None:
        if not self.count:
            raise EmptyInput(f"{self.inputs} is an empty list", parameter=self.inputs)
        if self.count > max_inputs:
            message = f"the request asks for {self.count} answers, the limit is {max_inputs}"
            raise InvalidRequest(message, parameter=self.inputs, limit=max_inputs)

        self.check_texts()

    def check_texts(self) -> None:
        for each in self.texts():
            if not each.text.strip():
                message = f"{each.name} is {quoted(each.text)}: there is nothing to work on"
                raise EmptyInput(message, parameter=each.name, index=each.index)

    def called(self, name: str) -> str:  # a parameter of a request
        return self.inputs if name == "text" else self.renamed.get(name, name)

    @abstractmethod
    def requests(self, info: ModelInfo, envelope: Envelope) -> Sequence[Request]: ...

    @abstractmethod
    def answered(self, head: Head, answers: Sequence[Answer]) -> Any: ...  # as the JSON of an `answer`
