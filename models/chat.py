"""Conversations as prompts, by a model's own chat template: Jinja, as Hugging Face's tokenizers have it.

What `transformers` gives a template (`apply_chat_template`: variables, functions, white space, loop controls) it has
here, too, in a sandbox, for a checkpoint comes from somewhere else. But for one thing: no message can write a special
or a control token, so that nobody can forge whose turn it is. Knows nothing of requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Never

from jinja2 import Template, TemplateError, nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.formats import GENERATION, Format
from models.tokenizer import SPECIAL_TOKENS, Tokenizer

PAD, START, END, UNKNOWN = SPECIAL_TOKENS
MOST_ROUNDS = 100_000  # of all loops of a template together
_COUNTED, _ROUNDS = "counted", "rounds that are left"
_SEAM = "\ufdd0"  # Unicode has it for a program's own use: it stands in what would be a token, and is no text


class ChatTemplateError(ValueError):
    """A template that cannot be read, or that refuses a conversation, with its reason."""


class ChatTemplate:
    def __init__(self, source: str) -> None:
        """Raises ChatTemplateError where it is not Jinja."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        environment.filters |= {"tojson": _tojson, _COUNTED: _counted}
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        try:
            tree = environment.parse(source)
            for loop in tree.find_all(nodes.For):
                loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None)
            self._template: Template = environment.from_string(tree)
        except (TemplateError, RecursionError) as error:
            raise ChatTemplateError(f"the chat template is not Jinja: {error}") from error

    def prompt(
        self, tokenizer: Tokenizer, messages: Sequence[Mapping[str, str]], format: Format = GENERATION
    ) -> list[int]:
        """The conversation up to where the model's turn begins; in our own format, behind the start token.

        Each message has a `role` and `content`, and maybe a `name`. Raises ChatTemplateError where the template refuses
        them.
        """
        added = "|".join(map(re.escape, sorted(tokenizer.added, key=len, reverse=True)))
        begins = re.compile(f"(?={added})(.)", re.DOTALL)  # each place where a token begins, though they overlap
        safe = [
            {name: begins.sub(rf"\1{_SEAM}", format.text(text.replace(_SEAM, ""))) for name, text in message.items()}
            for message in messages
        ]
        names = format.named or {"pad_token": PAD, "bos_token": START, "eos_token": END, "unk_token": UNKNOWN}
        text = format.text(self._rendered(safe, names))
        if format.named and _SEAM not in text:
            return tokenizer.encode_written(text)
        ids: list[int] = []
        for piece in re.split(f"({added})", text):
            if piece in tokenizer.added:
                ids.append(tokenizer.id(piece))
            else:
                ids += [id for part in piece.split(_SEAM) for id in tokenizer.encode(part)]
        if format.named:
            return ids
        start = tokenizer.id(START)
        return ids if ids[:1] == [start] else [start, *ids]

    def _rendered(self, messages: list[dict[str, str]], names: Mapping[str, str]) -> str:
        try:
            return self._template.render(
                {_ROUNDS: [MOST_ROUNDS]},
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **names,
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


@pass_context
def _counted(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes through, as long as rounds are left: a template comes from somewhere else and may never end."""
    left = context[_ROUNDS]
    for value in values:
        left[0] -= 1
        if left[0] < 0:
            raise ChatTemplateError(f"the chat template goes through more than {MOST_ROUNDS:,} rounds of its loops")
        yield value


def _refuse(reason: str) -> Never:
    raise ChatTemplateError(f"the chat template refuses these messages: {reason}")


def _now(form: str) -> str:
    return datetime.now().strftime(form)
