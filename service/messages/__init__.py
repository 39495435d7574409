"""Plain dataclasses that cross the Ray boundary between the gateway and the workers.

A request goes in, events come out: of a streamed request one `Accepted` and then any number of `Token`, of every
request exactly one terminal event, which is a `Result` (a `Completion`, a `Classification`) or a `Failure`.

Each task has a module with its request, and `tasks` has one dict of them. Knows nothing of HTTP, Ray, torch or
pydantic.
"""

# ruff: noqa: F401  # these names are here to be imported from here

from service.messages.classify import Classification, ClassifyRequest, ScoreFunction
from service.messages.completion import (
    FINISH_REASONS,
    Alignment,
    Alternative,
    Completion,
    Confidence,
    FinishReason,
    Sentence,
)
from service.messages.decoding import MOST_BEAMS, SEEDS, Decoding
from service.messages.events import Accepted, Event, Failure, Result, Terminal, Timing, Token, TopToken
from service.messages.generate import ChatMessage, GenerateRequest
from service.messages.model_info import ModelInfo
from service.messages.parameters import Bounds, Parameter, check_bounds, parameters_of
from service.messages.request import CuttableRequest, Direction, Request
from service.messages.tasks import TASKS, Task
from service.messages.tokens import Detokenize, TextToken, Tokenize
from service.messages.translate import Elements, Split, TextFormat, TranslateRequest
