"""docs/api.md against the tables that parameters are declared in."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest

from service.gateway.huggingface.tasks import TASKS as BODIES
from service.messages import TASKS, Bounds, Decoding, Parameter, Request, parameters_of
from tests.service.gateway.fakes import parameters_type

PAGE = Path(__file__).resolve().parents[4] / "docs" / "api.md"
HEAD = "| of | name | takes | default | meaning |"


class Row(NamedTuple):
    of: str
    takes: str
    default: str


def documented() -> dict[tuple[str, str], Row]:
    """The rows of the table, by the route, or routes, and the parameter's name."""
    lines = PAGE.read_text(encoding="utf-8").partition(HEAD)[2].partition("\n\n")[0].splitlines()[2:]
    found, of = {}, ""
    for line in lines:
        first, name, takes, default, _ = [cell.strip() for cell in line.strip("|").split(" | ")]
        of = first or of
        found[of, name.strip("`")] = Row(of, takes, default)
    return found


def takes(said: Bounds, kind: Any) -> str:
    """What a value may be, as the page has it."""
    kinds = [one for one in get_args(kind) or (kind,) if one is not type(None)]
    if "never" in get_args(kinds[-1]):
        return '`false`, `true` or `"never"`'
    if get_origin(kinds[0]) is Literal or isinstance(kinds[0], str):
        names = get_args(kinds[0]) or kinds  # a choice may be among others, or all that there is
        return " or ".join(", ".join(f"`{one}`" for one in names).rsplit(", ", 1))
    if kinds == [bool]:
        return "`true` or `false`"
    if kinds == [str]:
        return "a text"
    if said.each is None:
        return said.words()
    if said.each.max_length is not None:
        return f"at most {said.max_length} texts of {said.each.length.words()} characters"
    return f'at most {said.max_length} of `"token id":` {said.each.words()}'


PARAMETERS = [("`/translate`, `/generate`", Decoding), ("all", Request)]
PARAMETERS += [(f"`/{task}`", request) for task, request in TASKS.items()]


@pytest.mark.parametrize(("of", "message"), PARAMETERS, ids=[message.__name__ for _, message in PARAMETERS])
def test_the_table_has_each_parameter_with_its_bounds_and_its_default(of: str, message: type) -> None:
    rows, types = documented(), get_type_hints(message)
    defaults = {field.name: field.default for field in fields(message)}
    own = [name for name in parameters_of(message) if message is Request or name not in parameters_of(Request)]
    assert own
    for name in own:
        said = parameters_of(message)[name]
        row = rows[of, name]
        assert row.takes == takes(said.bounds, types[name]), name
        default = defaults[name]
        if default not in (None, (), ""):  # those are said in words: none, or the model's own
            shown = default if isinstance(default, str) else json.dumps(default)
            assert row.default == f"`{shown}`", name


def test_every_field_of_parameters_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for body in BODIES.values():
        assert {name for name in parameters_type(body).model_fields if f"`{name}`" not in page} == set()


def test_a_parameter_that_is_known_by_another_name_is_told_by_both() -> None:
    others = {name: said for name, said in parameters_of(Decoding).items() if said.also}
    assert others
    for name, said in others.items():
        assert isinstance(said, Parameter)
        assert f"`{said.also}` is another name of `{name}`" in PAGE.read_text(encoding="utf-8")
