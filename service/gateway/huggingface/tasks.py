"""The tasks and their bodies: a new one is a module beside this and a line here."""

from service.gateway.huggingface.body import TaskBody
from service.gateway.huggingface.classify import ClassifyBody
from service.gateway.huggingface.embed import EmbedBody
from service.gateway.huggingface.generate import GenerateBody
from service.gateway.huggingface.translate import TranslateBody
from service.messages import Task

TASKS: dict[Task, type[TaskBody]] = {
    "translate": TranslateBody,
    "generate": GenerateBody,
    "classify": ClassifyBody,
    "embed": EmbedBody,
}
