"""`triptych translate`: files through a running service. What is read and written is `service.documents`' business."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from service.commands.terminal import failed

if TYPE_CHECKING:
    from service.documents.formats import Reading
    from service.translating.files import Job
    from service.translating.service import Service
    from service.translating.translating import Report, Tell

SHOWN = 20  # problems of a file
INTERRUPTED = 130  # as a shell says it
_STANDARD = Path("-")


def translate(
    paths: Annotated[
        list[Path], typer.Argument(help="Files and folders; - reads standard input, writes standard output.")
    ],
    source: Annotated[str, typer.Option("--from", help="The language that they are in, such as fr.")],
    target: Annotated[str, typer.Option("--to", help="The language that they are to be in, such as en.")],
    output: Annotated[
        str | None, typer.Option(help="Where to write; the name with the language before its ending unless given.")
    ] = None,
    url: Annotated[str, typer.Option(help="Where the service answers.")] = "http://127.0.0.1:8000",
    model: Annotated[str | None, typer.Option(help="One of several translators, by its name in /info.")] = None,
    num_beams: Annotated[int, typer.Option(min=1, help="Beams of the search; 1 is greedy.")] = 1,
    column: Annotated[
        list[str] | None, typer.Option(help="Of a table: its name, or its number without a header.")
    ] = None,
    field: Annotated[list[str] | None, typer.Option(help="Of JSON Lines; a dot leads into an object.")] = None,
    format: Annotated[str | None, typer.Option(help="Ending that says the format, where the name does not.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the files, where it is not found.")] = None,
    key: Annotated[str | None, typer.Option(envvar="TRIPTYCH_KEY", help="Sent as the service's key.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Translate anew what is there already.")] = False,
) -> None:
    """Translate documents, their formats kept. What is interrupted goes on where it was when it is started again."""
    from service.documents.formats import FORMATS, Reading
    from service.translating import files
    from service.translating.service import Service
    from service.translating.translator import Asked, Unusable

    reading = Reading(columns=column or (), fields=field or ("text",), encoding=encoding)
    if format is not None and format not in FORMATS:
        raise failed(f"--format is {format!r}, expected one of {', '.join(FORMATS)}")
    if _STANDARD in paths and (len(paths) > 1 or output is not None):
        raise failed("- stands alone: standard input goes to standard output")
    try:
        planned = files.plan([] if _STANDARD in paths else paths, output, (source, target), format is not None)
        service = Service(url, Asked(source, target, model, num_beams), key)
    except (ValueError, OSError, Unusable) as error:
        raise failed(str(error)) from error
    if _STANDARD in paths:
        raise typer.Exit(_standard(f"-.{format or 'txt'}", reading, service))
    work = _Work(service, reading, format, force)
    for job in planned.jobs:
        work.translate(job)
    work.summarize(planned.left_out)
    raise typer.Exit(1 if work.problems else 0)


class _Work:
    """The files of one command, one after the other, and what is to be said of them."""

    def __init__(self, service: Service, reading: Reading, format: str | None, force: bool) -> None:
        self.service = service
        self.reading = reading
        self.format = format
        self.force = force
        self.console = Console(highlight=False)
        self.began = time.monotonic()
        self.reports: list[Report] = []
        self.problems = 0
        self.skipped = 0

    def translate(self, job: Job) -> None:
        from service.documents.document import DocumentError
        from service.translating import files, journal, translating
        from service.translating.translator import Unusable

        place = journal.path_for(job.output)
        if job.output.exists() and not place.exists() and not self.force:
            self._say(f"{job.output} is there already: --force translates {job.source} again")
            self.skipped += 1
            return
        kept = journal.Journal(place, self.service.settings)
        name = f"{job.source.stem}.{self.format}" if self.format else job.source.name
        began = time.monotonic()
        try:
            with _progress(self.console, job.source.name) as tell:
                data, report = translating.translate(
                    name, job.source.read_bytes(), self.reading, self.service, kept, tell
                )
            files.write(job.output, data)
        except (DocumentError, OSError) as error:
            self._say(f"{job.source}: {error}")
            self.problems += 1
            return
        except Unusable as error:
            self._say_how_to_go_on(place)
            raise failed(str(error)) from error
        except KeyboardInterrupt:
            self._say_how_to_go_on(place)
            raise typer.Exit(INTERRUPTED) from None
        finally:
            kept.close()
        self._say(f"{job.source} -> {job.output}: {_counted(report)}, {time.monotonic() - began:.1f} s")
        _tell_problems(self.console, report)
        if not report.failed:
            kept.remove()
        elif place.exists():
            self._say(f"  {place} has the rest: the same command asks again for what failed")
        self.reports.append(report)
        self.problems += len(report.problems)

    def summarize(self, left_out: int) -> None:
        if left_out:
            self._say(f"{left_out:,} other files were left out: no format that can be translated")
        if len(self.reports) + self.skipped > 1:
            texts = sum(report.texts for report in self.reports)
            characters = sum(report.characters for report in self.reports)
            skipped = f", {self.skipped:,} were there already" if self.skipped else ""
            self._say(
                f"{len(self.reports):,} files{skipped}: {texts:,} texts, {characters:,} characters, "
                f"{time.monotonic() - self.began:.1f} s, {self.problems:,} problems"
            )

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def _say_how_to_go_on(self, place: Path) -> None:
        if place.exists():
            self._say(
                f"Interrupted; {place} has what is translated. To go on: {shlex.join(['triptych', *sys.argv[1:]])}"
            )
        else:
            self._say("Interrupted, before anything was translated")


def _standard(name: str, reading: Reading, service: Service) -> int:
    from service.documents.document import DocumentError
    from service.translating.journal import Journal
    from service.translating.translator import Unusable
    from service.translating.translating import translate

    console = Console(stderr=True, highlight=False)
    try:
        with _progress(console, "standard input") as tell:
            data, report = translate(name, sys.stdin.buffer.read(), reading, service, Journal(None, ""), tell)
    except (DocumentError, Unusable) as error:
        console.print(f"[red]triptych:[/red] {escape(str(error))}", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    _tell_problems(console, report)
    return 1 if report.problems else 0


@contextmanager
def _progress(console: Console, name: str) -> Iterator[Tell]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _counted(report: Report) -> str:
    known = f" ({report.known:,} of them from before)" if report.known else ""
    failures = f", {len(report.problems):,} left as they were" if report.problems else ""
    return f"{report.texts:,} texts{known}, {report.characters:,} characters{failures}"


def _tell_problems(console: Console, report: Report) -> None:
    for problems in (report.problems, report.doubts):
        for problem in problems[:SHOWN]:
            console.print(f"  {problem.place}: {problem.reason}", markup=False, soft_wrap=True)
        if len(problems) > SHOWN:
            console.print(f"  ... and {len(problems) - SHOWN:,} more")
    for note in report.notes:
        console.print(f"  {note}", markup=False, soft_wrap=True)
