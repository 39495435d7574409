"""`triptych translate`: texts and files, told apart. What becomes of files is said in `files`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands import texts
from service.commands.asking import KeyOption, LocalOption, LocalRegistryOption, ModelOption, UrlOption, Where, opened
from service.commands.files import STANDARD, Files, translate_files, translate_on_cluster
from service.commands.parameters import check, taking
from service.commands.terminal import failed
from service.messages import Decoding, TranslateRequest

FILES = "Files"  # the options that are for them alone


@taking(Decoding, TranslateRequest, without=("format", "priority"))
def translate(
    given: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|FILE",
            help="Texts, or files and folders: what exists is a file. - is standard input, which goes to standard "
            "output, as a file.",
            show_default="standard input, where it is no terminal",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="The language that they are in, such as fr, or auto.", show_default="the only one, of a text"
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--to", help="The language that they are to be in, such as en.", show_default="the only one, of a text"
        ),
    ] = None,
    pair: Annotated[
        str | None, typer.Option(help="Both languages: fr-en is --from fr --to en.", show_default="none")
    ] = None,
    as_text: Annotated[
        bool, typer.Option("--text", help="What is given is text, even where a file is called so.")
    ] = False,
    model: ModelOption = None,
    url: UrlOption = None,
    local: LocalOption = False,
    registry: LocalRegistryOption = None,
    key: KeyOption = None,
    as_json: texts.JsonOption = False,
    output: Annotated[
        str | None,
        typer.Option(
            help="Where to write.", show_default="the name with the language before its ending", rich_help_panel=FILES
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a table: its name, or its number without a header.", show_default="none", rich_help_panel=FILES
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(help="Of JSON Lines; a dot leads into an object.", show_default="text", rich_help_panel=FILES),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Ending that says the format, where the name does not.",
            show_default="the name's; txt of standard input",
            rich_help_panel=FILES,
        ),
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of the files.", show_default="found out", rich_help_panel=FILES)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Translate anew what is there already.", rich_help_panel=FILES)
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a Ray cluster, all of whose replicas are asked; for folders.",
            show_default="none",
            rich_help_panel=FILES,
        ),
    ] = None,
    *,
    parameters: dict[str, Any],
) -> None:
    """Translate texts, and documents, whose formats are kept.

    A text's translation is printed, a file's is written beside it.
    What is interrupted goes on where it was when it is started again.
    """
    check(parameters)
    source, target = _languages(source, target, pair)
    given = texts.given_or_standard(given)
    where = Where(url=url, local=local, registry=registry, key=key)
    for_files = {
        "--output": output, "--column": column, "--field": field, "--format": format, "--encoding": encoding,
        "--force": force, "--address": address,
    }  # fmt: skip
    used = [option for option, value in for_files.items() if value]
    if as_text or (as_json and given == [STANDARD]) or not _are_files(given, used):
        if used:
            raise failed(f"{used[0]} is for files, and this is a text: {given[0]!r}")
        wanted = {"src_lang": source, "tgt_lang": target, **parameters}
        asked = {name: value for name, value in wanted.items() if value is not None}
        inputs = texts.with_standard(given)
        with opened("translate", where, model) as (client, name):
            answers = texts.answer_all(client, "translate", inputs, asked, name)
            texts.show(answers, as_json, texts.results("translation_text"))
        return
    if as_json:
        raise failed(f"--json is for texts, and {given[0]} is a file")
    files = Files(
        paths=given,
        output=output,
        columns=column or (),
        fields=field or (),
        format=format,
        encoding=encoding,
        force=force,
    )
    raise typer.Exit(_translated(files, source, target, parameters, where, model, address))


def _translated(
    files: Files,
    source: str | None,
    target: str | None,
    parameters: dict[str, Any],
    where: Where,
    model: str | None,
    address: str | None,
) -> int:
    from service.translating.translator import Asked

    if source is None or target is None:
        raise failed("a file is translated with --from and --to, or --pair, which say its languages")
    planned = files.planned((source, target))
    if address is not None:
        return translate_on_cluster(files, planned, Asked(source, target, model, parameters), address)
    with opened("translate", where, model) as (client, name):
        return translate_files(files, planned, Asked(source, target, name, parameters), client)


def _languages(source: str | None, target: str | None, pair: str | None) -> tuple[str | None, str | None]:
    if pair is None:
        return source, target
    one, dash, other = pair.partition("-")
    if not (one and dash and other):
        raise failed(f"--pair is {pair!r}, expected two languages, such as fr-en")
    if source is not None or target is not None:
        raise failed("--pair says both languages: leave out --from and --to")
    return one, other


def _are_files(given: Sequence[str], used: Sequence[str]) -> bool:
    """Whether all of them are, or none. What looks like the name of a file and is none ends the command."""
    from service.documents.formats import FORMATS, ending

    files = [each for each in given if each == STANDARD or _exists(each)]
    for each in given:
        looks = ending(each) in FORMATS and not any(character.isspace() for character in each)
        if each not in files and (looks or used or files):
            others = f", while {files[0]} is one" if files else ""
            raise failed(f"{each}: no such file or folder{others}; --text translates the words themselves")
    return bool(files)


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # longer than a name may be, or with a character that none may have
        return False
