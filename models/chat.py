"""Conversations as prompts, by a model's own chat template: Jinja, as Hugging Face's tokenizers have it.

What `transformers` gives a template (`apply_chat_template`: variables, functions, white space, loop controls) it has
here, too, in a sandbox, for a checkpoint comes from somewhere else. But for one thing: no message can write a special
or a control token, so that nobody can forge whose turn it is. Knows nothing of requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Never

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.formats import normalize
from models.tokenizer import SPECIAL_TOKENS, Tokenizer

PAD, START, END, UNKNOWN = SPECIAL_TOKENS
_SEAM = "\ufdd0"  # Unicode has it for a program's own use: it stands in what would be a token, and is no text


class ChatTemplateError(ValueError):
    """A template that cannot be read, or that refuses a conversation, with its reason."""


class ChatTemplate:
    def __init__(self, source: str) -> None:
        """Raises ChatTemplateError where it is not Jinja."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        try:
            self._template: Template = environment.from_string(source)
        except TemplateError as error:
            raise ChatTemplateError(f"the chat template is not Jinja: {error}") from error

    def prompt(self, tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The start token, and the conversation up to where the model's turn begins.

        Each message has a `role` and `content`, and maybe a `name`. Raises ChatTemplateError where the template refuses
        them.
        """
        added = "|".join(map(re.escape, sorted(tokenizer.added, key=len, reverse=True)))
        begins = re.compile(f"(?={added})(.)", re.DOTALL)  # each place where a token begins, though they overlap
        safe = [
            {name: begins.sub(rf"\1{_SEAM}", normalize(text.replace(_SEAM, ""))) for name, text in message.items()}
            for message in messages
        ]
        names = {"pad_token": PAD, "bos_token": START, "eos_token": END, "unk_token": UNKNOWN}
        text = normalize(self._rendered(safe, names))
        ids: list[int] = []
        for piece in re.split(f"({added})", text):
            if piece in tokenizer.added:
                ids.append(tokenizer.id(piece))
            else:
                ids += [id for part in piece.split(_SEAM) for id in tokenizer.encode(part)]
        start = tokenizer.id(START)
        return ids if ids[:1] == [start] else [start, *ids]

    def _rendered(self, messages: list[dict[str, str]], names: Mapping[str, str]) -> str:
        try:
            return self._template.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=True, **names
            )
        except ChatTemplateError:
            raise
        except Exception as error:  # a template is a program: it may fail with whatever a program fails with
            raise ChatTemplateError(f"the chat template fails on these messages: {error}") from error


class _Generation(Extension):
    """`{% generation %}`, which shows a training job what the model says, shows nothing here."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """Not Jinja's own, which writes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _refuse(reason: str) -> Never:
    raise ChatTemplateError(f"the chat template refuses these messages: {reason}")


def _now(form: str) -> str:
    return datetime.now().strftime(form)
