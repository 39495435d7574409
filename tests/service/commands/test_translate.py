"""`triptych translate` against a real gateway over fake workers, which translate into capitals."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.errors import InputTooLong, Overloaded, ServiceError
from service.serving import asking
from service.translating import crew
from tests.service.gateway.conftest import Stand
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("folder")

LINES = [f"mot {number}" for number in range(40)]


def translate(url: str, *arguments: object, stdin: bytes | None = None) -> Result:
    asked = ["translate", *map(str, arguments), "--from", "fr", "--to", "en", "--url", url]
    with pytest.MonkeyPatch.context() as context:
        context.setattr(sys, "argv", ["triptych", *asked])
        return CliRunner().invoke(app, asked, input=stdin)


def asked_for(stand: Stand) -> list[str]:
    return [request.text for request in stand.translator.seen]


def test_a_file_is_translated_beside_itself_and_told(stand: Stand, url: str, folder: Path) -> None:
    (folder / "a.fr.md").write_bytes(b"# Titre\r\n\r\nUn **mot** `code`.\r\n\r\nTitre")
    done = translate(url, "a.fr.md")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("a.fr.md -> a.en.md: 3 texts, ")
    assert (folder / "a.en.md").read_bytes() == b"# TITRE\r\n\r\nUN **MOT** `code`.\r\n\r\nTITRE"
    assert sorted(path.name for path in folder.iterdir()) == ["a.en.md", "a.fr.md"]
    assert asked_for(stand).count("Titre") == 1
    assert {(request.source_language, request.target_language) for request in stand.translator.seen} == {("fr", "en")}


def test_options_reach_the_service(stand: Stand, url: str, folder: Path) -> None:
    (folder / "a.txt").write_text("un")
    done = translate(url, "a.txt", "--num-beams", 3, "--model", "translator", "--output", "sub/b.txt")
    assert done.exit_code == 0, done.output
    assert (folder / "sub" / "b.txt").read_text() == "UN"
    [request] = stand.translator.seen
    assert (request.decoding.num_beams, request.priority) == (3, 1)


def test_tables_and_json_lines_are_asked_for_by_column_and_field(url: str, folder: Path) -> None:
    (folder / "a.csv").write_text("id,texte\nx,un\n")
    (folder / "a.jsonl").write_text('{"id": "x", "corps": {"texte": "un"}}\n')
    done = translate(url, "a.csv", "a.jsonl", "--column", "texte", "--field", "corps.texte")
    assert done.exit_code == 0, done.output
    assert (folder / "a.en.csv").read_text() == "id,texte\nx,UN\n"
    assert (folder / "a.en.jsonl").read_text() == '{"id": "x", "corps": {"texte": "UN"}}\n'
    assert "2 files: 2 texts, 4 characters" in done.output
    (folder / "b.csv").write_text("id,texte\nx,un\n")
    refused = translate(url, "b.csv", "a.jsonl", "--field", "texte", "--force")
    assert refused.exit_code == 1
    assert "b.csv: --column says which are to be translated: id, texte" in refused.output
    assert "a.jsonl: no line has a text in texte" in refused.output


def test_a_folder_keeps_its_structure_and_says_what_is_left_out(url: str, folder: Path) -> None:
    for name in ("docs/a.md", "docs/sub/b.fr.txt", "docs/.git/c.txt", "docs/picture.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("un")
    done = translate(url, "docs")
    assert done.exit_code == 0, done.output
    written = {path.relative_to(folder).as_posix() for path in (folder / "docs.en").rglob("*") if path.is_file()}
    assert written == {"docs.en/a.md", "docs.en/sub/b.en.txt"}
    assert "1 other files were left out" in done.output
    assert "2 files: 2 texts" in done.output


def test_what_is_there_already_is_left_unless_forced(stand: Stand, url: str, folder: Path) -> None:
    (folder / "a.txt").write_text("un")
    (folder / "a.en.txt").write_text("mine")
    done = translate(url, "a.txt")
    assert (done.exit_code, stand.translator.seen) == (0, [])
    assert done.output == "a.en.txt is there already: --force translates a.txt again\n"
    assert translate(url, "a.txt", "--force").exit_code == 0
    assert (folder / "a.en.txt").read_text() == "UN"


def test_standard_input_goes_to_standard_output(url: str) -> None:
    done = translate(url, "-", stdin=b"un\ndeux")
    assert (done.exit_code, done.stdout) == (0, "UN\nDEUX")
    done = translate(url, "-", "--format", "md", stdin=b"un `code`\n")
    assert done.stdout == "UN `code`\n"
    assert translate(url, "-", "a.txt").exit_code == 2


@pytest.mark.parametrize(
    ("path", "address", "reason"),
    [
        ("a.txt", "127.0.0.1:1", "no Ray cluster can be reached at 127.0.0.1:1"),
        ("a.txt", "auto", "--address is 'auto', expected HOST:PORT"),
        ("-", "127.0.0.1:1", "--address is for files and folders"),
    ],
)
def test_where_there_is_no_cluster_it_says_so_at_once(path: str, address: str, reason: str, folder: Path) -> None:
    (folder / "a.txt").write_text("un")
    done = translate("unused", path, "--address", address)
    assert done.exit_code == 2
    assert reason in done.output
    assert not (folder / "a.en.txt").exists()


def test_one_failure_in_the_middle_stays_as_it_was_and_is_told_with_its_place(
    stand: Stand, url: str, folder: Path
) -> None:
    stand.translator.failing["mot 7"] = InputTooLong("the text has 9 tokens, the limit is 8")
    (folder / "a.txt").write_text("\n".join(LINES))
    done = translate(url, "a.txt")
    assert done.exit_code == 1
    assert "40 texts, " in done.output
    assert "1 left as they were" in done.output
    assert "  line 8: the text has 9 tokens, the limit is 8" in done.output
    written = (folder / "a.en.txt").read_text().split("\n")
    assert written == [line if line == "mot 7" else line.upper() for line in LINES]
    stand.translator.failing.clear()
    before = len(stand.translator.seen)
    again = translate(url, "a.txt")
    assert again.exit_code == 0, again.output
    assert asked_for(stand)[before:] == ["mot 7"]
    assert (folder / "a.en.txt").read_text() == "\n".join(LINES).upper()
    assert not (folder / "a.en.txt.part").exists()


def test_what_cannot_be_read_is_told_and_is_not_asked_for_again(stand: Stand, url: str, folder: Path) -> None:
    (folder / "a.jsonl").write_text('{"text": "un"}\nnot json\n')
    done = translate(url, "a.jsonl")
    assert done.exit_code == 1
    assert "  line 2: it is not JSON" in done.output
    assert (folder / "a.en.jsonl").read_text() == '{"text": "UN"}\nnot json\n'
    assert not (folder / "a.en.jsonl.part").exists()


def test_an_error_that_names_no_text_is_found_by_halves(stand: Stand, url: str, folder: Path) -> None:
    stand.translator.failing["mot 3"] = ServiceError("a bug")
    (folder / "a.txt").write_text("\n".join(LINES[:8]))
    done = translate(url, "a.txt")
    assert done.exit_code == 1
    assert done.output.count("  line ") == 1
    assert "  line 4: " in done.output


def test_where_there_is_no_room_it_waits_and_goes_on(stand: Stand, url: str, folder: Path) -> None:
    stand.translator.refusing["mot 3"] = Overloaded("full", retry_after_s=1)
    threading.Timer(0.5, stand.translator.refusing.clear).start()
    (folder / "a.txt").write_text("\n".join(LINES))
    done = translate(url, "a.txt")
    assert done.exit_code == 0, done.output
    assert (folder / "a.en.txt").read_text() == "\n".join(LINES).upper()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Who is started in the background by a shell ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_what_is_interrupted_goes_on_where_it_was(stand: Stand, url: str, folder: Path) -> None:
    (folder / "a.txt").write_text("\n".join(LINES))
    part = folder / "a.en.txt.part"
    stand.translator.holding.add(LINES[-1])

    def interrupt() -> None:
        wait_for(lambda: part.exists() and part.read_text().count("\n{") >= 30, seconds=20)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    done = translate(url, "a.txt")
    thread.join()
    assert done.exit_code == 130
    assert (
        f"a.en.txt.part has what is translated. To go on: triptych translate a.txt --from fr --to en --url {url}"
        in (" ".join(done.output.split()))
    )
    assert not (folder / "a.en.txt").exists()
    with part.open("a") as file:
        file.write('{"digest": "cut o')
    stand.translator.holding.clear()
    before = asked_for(stand)
    again = translate(url, "a.txt")
    assert again.exit_code == 0, again.output
    assert "of them from before)" in again.output
    assert {*asked_for(stand)[len(before) :]} <= {*LINES[32:]}
    assert (folder / "a.en.txt").read_text() == "\n".join(LINES).upper()
    assert sorted(path.name for path in folder.iterdir()) == ["a.en.txt", "a.txt"]


def test_other_settings_begin_anew(stand: Stand, url: str, folder: Path) -> None:
    (folder / "a.txt").write_text("un\ndeux")
    stand.translator.failing["deux"] = InputTooLong("too long")
    assert translate(url, "a.txt").exit_code == 1
    stand.translator.failing.clear()
    before = len(stand.translator.seen)
    assert translate(url, "a.txt", "--num-beams", 2).exit_code == 0
    assert asked_for(stand)[before:] == ["un", "deux"]


def test_a_translation_that_was_cut_is_used_and_told(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(asked: str, body: object = None, **options: object) -> tuple[int, object]:
        if body is None:
            model = {"name": "t", "task": "translate", "version": "t@1"}
            return 200, {"models": [model], "limits": {"max_inputs": 9, "max_characters": 99}}
        return 200, [{"translation_text": "one one", "finish_reason": "length"}]

    monkeypatch.setattr(asking, "ask", answer)
    (folder / "a.txt").write_text("un")
    done = translate("http://nowhere", "a.txt")
    assert done.exit_code == 0
    assert "  line 1: its translation ended by length" in done.output
    assert (folder / "a.en.txt").read_text() == "one one"


def test_without_a_service_it_says_how_to_start_one(folder: Path) -> None:
    (folder / "a.txt").write_text("un")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        done = translate(f"http://127.0.0.1:{taken.getsockname()[1]}", "a.txt")
    assert done.exit_code == 2
    assert "no service answers at http://127.0.0.1:" in done.output
    assert "start one with: triptych serve" in done.output


def test_a_service_that_goes_is_waited_for_and_then_given_up(
    stand: Stand, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "PATIENCE_S", 0.0)
    (folder / "a.txt").write_text("\n".join(LINES))
    part = folder / "a.en.txt.part"
    part.write_text(json.dumps({"digest": "x", "translation": "y"}) + "\n")

    def answer(asked: str, body: object = None, **options: object) -> tuple[int, object]:
        if body is None:
            model = {"name": "t", "task": "translate", "version": "t@1"}
            return 200, {"models": [model], "limits": {}}
        return 0, "Connection refused"

    monkeypatch.setattr(asking, "ask", answer)
    done = translate("http://nowhere", "a.txt")
    assert done.exit_code == 2
    assert "the service at http://nowhere is gone: Connection refused" in done.output
    assert "To go on: triptych " in done.output
    assert part.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.txt",), "nowhere.txt: no such file or folder"),
        (("a.pdf",), "a.pdf: of the endings that can be translated it has none: txt, md"),
        (("a.txt", "--format", "pdf"), "--format is 'pdf', expected one of txt, md"),
        (("a.txt", "--model", "nobody"), "serves no translator nobody; there are: translator"),
        (("a.txt", "--output", "a.txt"), "a.txt is to be translated and to be written"),
        (("a.txt", "a.fr.txt"), "would both be written to a.en.txt"),
        (("a.txt", "--num-beams", "16"), "--num-beams is 16, the model has 4 slots"),
    ],
)
def test_what_cannot_be_done_is_said_plainly(url: str, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    for name in ("a.txt", "a.fr.txt", "a.pdf"):
        (folder / name).write_text("un")
    done = translate(url, *arguments)
    assert done.exit_code == 2
    assert said in done.output.replace("\n", "")
    assert "Traceback" not in done.output


def test_a_pair_that_is_not_served_is_said_with_those_that_are(url: str, folder: Path) -> None:
    (folder / "a.txt").write_text("un")
    done = CliRunner().invoke(app, ["translate", "a.txt", "--from", "de", "--to", "en", "--url", url])
    assert done.exit_code == 2
    assert "no translation for de-en; available: fr-en, en-fr, ko-en" in done.output
