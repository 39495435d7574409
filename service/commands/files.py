"""`triptych translate FILE`: documents through a service, a model in this process, or all replicas of a cluster's.

What is read and written is `service.documents`' business.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from service.commands.parameters import as_options
from service.commands.terminal import errors, failed
from service.serving.asking import Client

if TYPE_CHECKING:
    from service.deployments.folders import Cluster
    from service.documents.formats import Reading
    from service.translating.files import Job, Planned
    from service.translating.service import Service
    from service.translating.translating import InProgress, Report, Tell
    from service.translating.translator import Asked

SHOWN = 20  # problems of a file
INTERRUPTED = 130  # as a shell says it
STANDARD = "-"  # input and output


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What is asked of files; as the options say it."""

    paths: Sequence[str]  # or `STANDARD` alone
    output: str | None
    columns: Sequence[str]
    fields: Sequence[str]
    format: str | None
    encoding: str | None
    force: bool

    def planned(self, languages: tuple[str, str]) -> Planned:
        """Which files are written where. Ends the command where the options do not go together or name none."""
        from service.documents.formats import FORMATS, ending
        from service.translating.files import plan

        if self.format is not None and self.format not in FORMATS:
            raise failed(f"--format is {self.format!r}, expected one of {', '.join(FORMATS)}")
        if self.standard and (len(self.paths) > 1 or self.output is not None):
            raise failed("- stands alone: standard input goes to standard output")
        paths = [] if self.standard else [Path(path) for path in self.paths]
        try:
            return plan(paths, self.output, languages, self.format is not None)
        except (ValueError, OSError) as error:
            unknown = any(path.is_file() and ending(path.name) not in FORMATS for path in paths)
            hint = "; --text translates the words themselves" if unknown else ""
            raise failed(f"{error}{hint}") from error

    @property
    def standard(self) -> bool:
        return STANDARD in self.paths


def translate_files(files: Files, planned: Planned, asked: Asked, client: Client) -> int:
    """Through a client; the exit status."""
    from service.translating.service import Service
    from service.translating.translator import Unusable

    try:
        service = Service(client, asked)
    except Unusable as error:
        raise failed(str(error)) from error
    if files.standard:
        return _standard(f"-.{files.format or 'txt'}", _reading(files), service)
    work = _Work(files, planned, service.settings)
    for job in work.jobs:
        work.translate(job, service)
    return work.summarize()


def translate_on_cluster(files: Files, planned: Planned, asked: Asked, address: str) -> int:
    """By all replicas of a Ray cluster; the exit status."""
    from service.translating.translator import Unusable

    if files.standard:
        raise failed("--address is for files and folders: standard input goes through --url")
    if set(asked.parameters) - {"num_beams"}:
        raise failed("--address goes with --beams alone: other parameters go through --url")
    try:
        cluster = _joined(address, asked)
    except (ValueError, Unusable) as error:
        raise failed(str(error)) from error
    work = _Work(files, planned, cluster.settings)
    work.translate_together(work.jobs, cluster)
    return work.summarize()


def _reading(files: Files) -> Reading:
    from service.documents.formats import Reading

    return Reading(columns=files.columns, fields=files.fields or ("text",), encoding=files.encoding)


def _joined(address: str, asked: Asked) -> Cluster:
    """Raises Unusable."""
    from service.deployments.environment import environment
    from service.serving.preflight import Refused, check_reachable
    from service.translating.translator import Unusable

    missing = [name for name in ("pandas", "pyarrow") if find_spec(name) is None]
    if missing:
        raise Unusable(f"--address needs {' and '.join(missing)}: install the extra, pip install -e '.[cluster]'")
    try:
        check_reachable(address)  # Ray would try for minutes
    except Refused as error:
        raise Unusable(str(error)) from error
    os.environ.update(environment(own_ray=False))  # before Ray is imported
    from service.deployments.folders import Cluster

    return Cluster(address, asked)


class _Work:
    """The files of one command, and what is to be said of them."""

    def __init__(self, files: Files, planned: Planned, settings: str) -> None:
        from service.translating.translating import Opening

        self.jobs, self._left_out = planned.jobs, planned.left_out
        self.opening = Opening(_reading(files), files.format, settings)
        self.force = files.force
        self.console = Console(highlight=False)
        self.began = time.monotonic()
        self.reports: list[Report] = []
        self.problems = 0
        self.skipped = 0

    def translate(self, job: Job, service: Service) -> None:
        """A file by itself."""
        from service.documents.document import DocumentError
        from service.translating import translating

        if self._is_there(job):
            return
        try:
            began = time.monotonic()
            with self._interruptible([job]), self.opening(job) as work:
                with _progress(self.console, job.source.name) as tell:
                    translating.translate_all(work, service, tell)
                self._finish(job, work, time.monotonic() - began)
        except (DocumentError, OSError) as error:
            self._fail(job, error)

    def translate_together(self, all_jobs: Sequence[Job], cluster: Cluster) -> None:
        """The texts of many files at the same time; a file is written when it has all of its own."""
        from service.documents.document import DocumentError

        jobs = [job for job in all_jobs if not self._is_there(job)]
        if not jobs:
            return
        seen: set[int] = set()
        open_ones: dict[int, InProgress] = {}
        progress = _progress(self.console, f"{len(jobs):,} files, {cluster.called}")
        with self._interruptible(jobs), _silent_stderr(), progress as tell:
            tell(0, len(jobs))
            for number, of, outcome in cluster.outcomes(jobs, self.opening):
                job = jobs[number]
                try:
                    if number not in seen:
                        seen.add(number)
                        open_ones[number] = self.opening(job)
                    work = open_ones.get(number)
                    if work is None:
                        continue  # it cannot be read or written
                    if of is not None and outcome is not None:
                        work.take(of, outcome)
                    if not work.missing:
                        del open_ones[number]
                        with work:
                            self._finish(job, work)
                except (DocumentError, OSError) as error:
                    open_ones.pop(number, None)
                    self._fail(job, error)
                tell(len(seen) - len(open_ones), len(jobs))
            for number in open_ones:
                self._fail(jobs[number], "it was changed while it was translated: the same command goes on")

    def _is_there(self, job: Job) -> bool:
        from service.translating.journal import path_for

        if self.force or not job.output.exists() or path_for(job.output).exists():
            return False
        self._say(f"{job.output} is there already: --force translates {job.source} again")
        self.skipped += 1
        return True

    def _finish(self, job: Job, work: InProgress, seconds: float | None = None) -> None:
        from service.translating import files

        data, report = work.written()
        files.write(job.output, data)
        kept = work.journal
        if not report.failed:
            kept.remove()
        took = "" if seconds is None else f", {seconds:.1f} s"
        self._say(f"{job.source} -> {job.output}: {_counted(report)}{took}")
        _tell_problems(self.console, report)
        if report.failed and kept.path is not None and kept.path.exists():
            self._say(f"  {kept.path} has the rest: the same command asks again for what failed")
        self.reports.append(report)
        self.problems += len(report.problems)

    def _fail(self, job: Job, reason: object) -> None:
        self._say(f"{job.source}: {reason}")
        self.problems += 1

    @contextmanager
    def _interruptible(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Says how to go on where these are not translated to their end."""
        from service.translating.journal import path_for
        from service.translating.translator import Unusable

        try:
            yield
        except Unusable as error:
            self._say_how_to_go_on([path_for(job.output) for job in jobs])
            raise failed(as_options(str(error))) from error
        except KeyboardInterrupt:
            self._say_how_to_go_on([path_for(job.output) for job in jobs])
            raise typer.Exit(INTERRUPTED) from None

    def summarize(self) -> int:
        """The exit status."""
        if self._left_out:
            self._say(f"{self._left_out:,} other files were left out: no format that can be translated")
        if len(self.reports) + self.skipped > 1:
            texts = sum(report.texts for report in self.reports)
            characters = sum(report.characters for report in self.reports)
            skipped = f", {self.skipped:,} were there already" if self.skipped else ""
            self._say(
                f"{len(self.reports):,} files{skipped}: {texts:,} texts, {characters:,} characters, "
                f"{time.monotonic() - self.began:.1f} s, {self.problems:,} problems"
            )
        return 1 if self.problems else 0

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def _say_how_to_go_on(self, places: Sequence[Path]) -> None:
        kept = [place for place in places if place.exists()]
        if kept or self.reports:
            others = f" and {len(kept) - 1:,} others" if len(kept) > 1 else ""
            what = (
                f"{kept[0]}{others} {'have' if others else 'has'} what is translated"
                if kept
                else "what is written is translated"
            )
            self._say(f"Interrupted; {what}. To go on: {shlex.join(['triptych', *sys.argv[1:]])}")
        else:
            self._say("Interrupted, before anything was translated")


def _standard(name: str, reading: Reading, service: Service) -> int:
    from service.documents.document import DocumentError
    from service.translating.journal import Journal
    from service.translating.translating import translate
    from service.translating.translator import Unusable

    try:
        with _progress(errors, "standard input") as tell:
            data, report = translate(name, sys.stdin.buffer.read(), reading, service, Journal(None, ""), tell)
    except (DocumentError, Unusable) as error:
        raise failed(as_options(str(error))) from error
    except KeyboardInterrupt:
        return INTERRUPTED
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    _tell_problems(errors, report)
    return 1 if report.problems else 0


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Ray writes there, past Python, what is in its log files, too."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


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
