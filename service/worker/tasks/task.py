"""What every task does with text, and the checks that they share. Knows nothing of batching, threads, HTTP or Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeVar

from models.checkpoint import Manifest
from models.config import Config
from models.formats import Format
from models.shortlist import Shortlist
from models.tokenizer import Tokenizer
from service.engine.engine import Output
from service.engine.sequence import SequenceSpec
from service.errors import EmptyInput
from service.messages import MOST_BEAMS, CuttableRequest, Event, Request, Result, Timing
from service.worker.decoding import within_characters
from service.worker.results import Finished

ManyT = TypeVar("ManyT", str, list[int])


@dataclass(frozen=True, kw_only=True)
class Limits:
    max_prompt_tokens: int  # tags and special tokens included
    max_characters: int  # of what is read as one text, before it is read and of what normalizing makes of it
    max_new_tokens: int
    max_total_tokens: int | None = None  # prompt and continuation together, where they share the positions
    slots: int = MOST_BEAMS  # beams that run side by side, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What of a request is answered by itself: a sentence of a text that is split, otherwise all of it."""

    before: str = ""  # what stands in front of its answer, as it is
    source: str = ""
    specs: list[SequenceSpec] = field(default_factory=list)  # one, or one a sample; none: there is only `before`
    finished: Finished | None = None
    whole: bool = False  # its text is known when it is finished, and not before


class EndedPart(NamedTuple):
    part: Part
    ends: list[Output]  # the last output of each of its sequences, in their order


@dataclass(frozen=True)
class WorkerTask(ABC):
    """Of one checkpoint. Its methods take requests of the type `REQUEST` alone."""

    REQUEST: ClassVar[type[Request]]
    FORMAT: ClassVar[Format]  # what our own models of the task read texts with
    SPLITS: ClassVar[bool] = False  # a text may be longer than what is read as one

    tokenizer: Tokenizer
    config: Config
    manifest: Manifest
    limits: Limits
    shortlist: Shortlist | None = None  # where answers are to be chosen among a source's tokens

    def __post_init__(self) -> None:
        self.check_checkpoint()

    def check_checkpoint(self) -> None:  # noqa: B027 - most have nothing to check
        """Raises ValueError for one that the task cannot be done with."""

    @property
    def format(self) -> Format:
        """What texts are read with."""
        return self.manifest.format or self.FORMAT

    @staticmethod
    def servable(model: Any) -> Any:
        """Of a checkpoint's model, the `models.interface.Servable` that does the task; most are it themselves."""
        return model

    @staticmethod
    def borrowed(examples: Mapping[str, Any]) -> dict[str, Any]:
        """What requests of this task can be made of the examples of another one that the checkpoint was trained for."""
        return {}

    def texts(self, request: Any) -> dict[str, str]:
        """What of a request is tokenized, by what errors call it."""
        return {"the text": request.text}

    def whole_texts(self, request: Any) -> dict[str, str]:
        """Those of them that are read as one."""
        return self.texts(request)

    def streams(self, request: Any) -> bool:
        """Whether there is something to tell of its answer before the end."""
        return True

    @abstractmethod
    def prepare(self, request: Any) -> list[Part]:
        """At least one; the sequences have the request's id. Raises a ServiceError when it cannot be served."""

    @abstractmethod
    def answer(self, request: Any, parts: list[EndedPart], timing: Timing) -> Result:
        """The terminal event."""

    def canary(self, request_id: str) -> Request:
        """A small request that any such model answers."""
        return self.REQUEST(id=request_id, text="1")

    @staticmethod
    @abstractmethod
    def flaw(event: Event) -> str:
        """Why an event of the canary's answer shows that the model does not work; "" where it does not show that."""

    def _text_of(self, request: Request) -> str:
        """Its text, as the vocabulary gets to see it. Raises InputTooLong, and EmptyInput where there is nothing."""
        text = self._normalized("the text", request.text)
        if not text:
            raise EmptyInput("the text is empty")
        return text

    def _left(self, request: CuttableRequest, parts: ManyT, most: int) -> ManyT:
        """What is left of a text, or of its tokens, where the request lets it be cut."""
        if not request.truncate or len(parts) <= most:
            return parts
        side = request.truncation_direction or self.format.cut
        return parts[:most] if side == "right" else parts[len(parts) - most :]

    def _normalized(self, name: str, text: str) -> str:
        """Raises InputTooLong."""
        within_characters(name, text, self.limits.max_characters)
        found = self.format.text(text)
        within_characters(name, found, self.limits.max_characters)  # one character may become many
        return found
