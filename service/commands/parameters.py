"""Parameters of messages as options of a command: their names, types, defaults and descriptions are said there once.

Knows nothing of bounds, which the messages check, and of what a parameter does.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Literal, get_type_hints

import typer

from service.commands.terminal import failed
from service.errors import InvalidRequest
from service.messages import TASKS, Decoding, parameters_of
from service.messages.parameters import Parameter, check_bounds

SHORT = {"num_beams": ("--beams",), "num_return_sequences": ("-n",)}
_ELSEWHERE = {"src_lang": "from", "tgt_lang": "to"}  # parameters that have options of another name
_MESSAGES: tuple[type, ...] = (Decoding, *TASKS.values())
_NAMES = {name for message in _MESSAGES for name in parameters_of(message)} | _ELSEWHERE.keys()
_SAID = re.compile(rf"\b(?:parameters\.)?({'|'.join(sorted(name for name in _NAMES if '_' in name))})\b")
_FIRST = re.compile(rf"^(?:parameters\.)?({'|'.join(sorted(name for name in _NAMES if '_' not in name))}) ")
_MOST = 2**31 - 1
_BIASES = tuple[tuple[int, float], ...]
_OF_SEVERAL: dict[Any, Any] = {  # how what is no single value is typed on a command line
    tuple[str, ...]: list[str],
    _BIASES: list[str],
    bool | Literal["never"]: Literal["true", "false", "never"],
}


def taking(*messages: type, without: Collection[str] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for each parameter of `messages`; those given come as its argument `parameters`."""
    types = {name: kind for message in messages for name, kind in get_type_hints(message).items()}
    said = {name: (message, each) for message in messages for name, each in parameters_of(message).items()}
    options = {
        name: inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if types[name] is bool else None,
            annotation=_option(name, types[name], message, each),
        )
        for name, (message, each) in said.items()
        if name not in without
    }

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.name != "parameters"]

        @functools.wraps(command)
        def run(**given: Any) -> Any:
            asked = {
                name: value
                for name in options
                if (value := given.pop(name)) is not None and value is not False and value != []
            }
            parameters = {name: _value(said[name][0], name, types[name], asked[name]) for name in asked}
            return command(**given, parameters=parameters)

        run.__signature__ = signature.replace(  # type: ignore[attr-defined]  # typer reads it
            parameters=[each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + [*options.values()]
        )
        return run

    return decorated


def check(parameters: Mapping[str, Any]) -> None:
    """Ends the command where one is outside of its bounds, before a model is loaded for it."""
    known = parameters_of(Decoding)
    given = {name: _frozen(value) for name, value in parameters.items() if name in known}
    try:
        check_bounds(Decoding(**given))
    except InvalidRequest as error:
        raise failed(as_options(error.message)) from error


def as_options(message: str) -> str:
    """A message in which parameters are called as they are typed on a command line."""
    return _FIRST.sub(lambda found: f"--{found[1]} ", _SAID.sub(_as_option, message))


def _as_option(found: re.Match[str]) -> str:
    return f"--{_ELSEWHERE.get(found[1], found[1]).replace('_', '-')}"


def _option(name: str, kind: Any, message: type, said: Parameter) -> Any:
    dashed = name.replace("_", "-")
    names = (*SHORT.get(name, ()), f"--{dashed}")
    panel = "Decoding" if message is Decoding else "The answer"
    if kind is bool:
        off = _default_of(message, name) is True
        help = _help(said)
        flag = (
            typer.Option(f"--no-{dashed}", help=f"Turns off: {help[:1].lower()}{help[1:]}", rich_help_panel=panel)
            if off
            else typer.Option(f"--{dashed}", help=help, rich_help_panel=panel)
        )
        return Annotated[bool, flag]
    option = typer.Option(
        *names,
        help=_help(said),
        show_default=_default(message, name),
        rich_help_panel=panel,
        metavar="ID=BIAS" if kind == _BIASES else None,
    )
    return Annotated[_OF_SEVERAL.get(kind, kind) | None, option]


def _help(said: Parameter) -> str:
    description = re.sub(r"[;,]? ?\bdefault( and most)?: [^;]*", "", said.description or "").strip()
    parts = [part for part in (_SAID.sub(_as_option, description), _bounds(said)) if part]
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _bounds(said: Parameter) -> str:
    bounds = said.bounds if said.bounds.each is None else said.bounds.each
    if bounds.gt is None and bounds.ge is None:
        return ""
    # What only bounds a whole number's size says nothing to people.
    return replace(bounds, lt=None).words() if (bounds.lt or 0) >= _MOST else bounds.words()


def _default(message: type, name: str) -> str:
    """What holds where the option is not given."""
    described = re.search(r"\bdefault(?: and most)?: ([^;]*)", parameters_of(message)[name].description or "")
    if described:
        return described[1]
    default = _default_of(message, name)
    return "none" if default in (None, (), "") else f"{default}"


def _default_of(message: type, name: str) -> Any:
    return next(each.default for each in fields(message) if each.name == name)


def _frozen(value: Any) -> Any:
    """As messages have it."""
    if isinstance(value, dict):
        return tuple((int(key), each) for key, each in value.items())
    return tuple(value) if isinstance(value, list) else value


def _value(message: type, name: str, kind: Any, given: Any) -> Any:
    """As the routes take it. A flag that is given turns the default round."""
    if kind is bool:
        return not _default_of(message, name)
    if kind == _BIASES:
        return dict(_bias(name, each) for each in given)
    if kind == bool | Literal["never"]:
        return {"true": True, "false": False}.get(given, given)
    return given


def _bias(name: str, text: str) -> tuple[str, float]:
    key, _, bias = text.partition("=")
    try:
        return f"{int(key)}", float(bias)
    except ValueError:
        raise failed(
            f"--{name.replace('_', '-')} is {text!r}, expected a token id and what is added: 15=-100"
        ) from None
