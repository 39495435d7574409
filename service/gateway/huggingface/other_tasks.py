"""Hugging Face's clients ask for every task in much the same body: what a route's model cannot do is told here.

A body that says which task it is for is refused with a sentence that names the task, and what the route does. Bodies
that say nothing of it, a text alone, are answered: nobody can tell a summary from a continuation that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, get_args

from starlette.requests import Request

from service.errors import InvalidRequest
from service.gateway.context import RequestContext
from service.gateway.fields import Body
from service.gateway.huggingface.body import InputsBody
from service.gateway.parsing import BodyT, checked, read_object

# What no other task has: names of parameters, of fields and, of inputs that are objects, of their parts.
_TOLD_BY = {
    "fill-mask": {"targets"},
    "zero-shot classification": {"candidate_labels", "multi_label", "hypothesis_template"},
    "token classification": {"aggregation_strategy", "ignore_labels", "stride"},
    "question answering": {
        *("question", "context", "align_to_words", "doc_stride", "handle_impossible_answer"),
        *("max_answer_len", "max_question_len", "max_seq_len"),
    },
    "a question about a table": {"table", "query", "padding", "sequential"},
    "translation": {"src_lang", "tgt_lang"},
    "summarization": {"generate_parameters", "clean_up_tokenization_spaces", "truncation"},
    "sentence similarity": {"source_sentence", "sentences"},
    "feature extraction": {"normalize", "prompt_name", "dimensions"},
    "text classification": {"function_to_apply", "text_pair"},
    "text generation": {"max_new_tokens", "return_full_text"},
}
_MASKS = ("[MASK]", "<mask>")


async def read_task_body(request: Request, schema: type[BodyT]) -> BodyT:
    """As `read_body`, for what the route does."""
    value = await read_object(request, schema)
    route = RequestContext.of(request.scope).route
    assert issubclass(schema, InputsBody), f"{schema.__name__} does not say what its route does"
    try:
        body = checked(value, schema)
    except InvalidRequest as error:
        if task := _other_task(value, schema) or (_mask_to_fill(value) and "fill-mask"):
            raise type(error)(f"{error.message}. {_not_done(task, route, schema)}", **error.details) from None
        raise
    if mask := _mask_to_fill(value):
        raise InvalidRequest(f"inputs has {mask}. {_not_done('fill-mask', route, schema)}", parameter="inputs")
    return body


def _not_done(task: str, route: str, schema: type[InputsBody]) -> str:
    return f"This asks for {task}, which is not done here: {route} {schema.does}"


def _other_task(value: Mapping[str, Any], schema: type[Body]) -> str | None:
    said = set(_names_in(value)) - set(_known_to(schema))
    return next((task for task, names in _TOLD_BY.items() if names & said), None)


def _names_in(value: Mapping[str, Any]) -> Iterator[str]:
    yield from value
    inputs = value.get("inputs")
    for part in (value.get("parameters"), *(inputs if isinstance(inputs, list) else [inputs])):
        if isinstance(part, dict):
            yield from part


def _known_to(schema: type[Body]) -> Iterable[str]:
    yield from schema.model_fields
    for kind in get_args(schema.model_fields["parameters"].annotation):
        if kind is not NoneType and issubclass(kind, Body):
            yield from kind.model_fields


def _mask_to_fill(value: Mapping[str, Any]) -> str | None:
    """The mask of a body that has nothing but what clients of this task send: who asks for more means the text so."""
    text, asked = value.get("inputs"), value.get("parameters")
    if not isinstance(text, str) or not isinstance(asked, dict):
        return None
    if not (value.keys() <= {"inputs", "parameters"} and asked.keys() <= {"top_k"}):
        return None
    return next((mask for mask in _MASKS if mask in text), None)
