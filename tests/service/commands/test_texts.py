"""Texts on the command line, answered by a real gateway over fake workers, which answer in capitals."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.errors import InputTooLong, Overloaded, ServiceError
from tests.service.gateway.conftest import Stand

pytestmark = pytest.mark.usefixtures("folder")


def run(url: str, *arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--url", url], input=stdin)


FR_EN = ("--from", "fr", "--to", "en")


def test_each_text_is_a_line_of_standard_output_and_nothing_else_is(url: str) -> None:
    done = run(url, "translate", "un mot", "deux", *FR_EN)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "UN MOT\nDEUX\n", "")
    done = run(url, "generate", "once upon", "a time")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "ONCE UPON\nA TIME\n", "")
    done = run(url, "classify", "fine", "bad")
    assert (done.exit_code, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert [each.rpartition(" ")[0] for each in first.split("\t")] == ["good", "bad"]
    assert all(0 <= float(each.rpartition(" ")[2]) <= 1 for each in second.split("\t"))


def test_json_is_what_the_route_answers(url: str) -> None:
    body = {"inputs": ["un", "deux"], "parameters": {"src_lang": "fr", "tgt_lang": "en", "num_beams": 2, "n": 2}}
    asked = run(url, "translate", "un", "deux", "--pair", "fr-en", "--beams", 2, "-n", 2, "--json")
    assert json.loads(asked.stdout) == httpx.post(f"{url}/translate", json=body).json()
    body = {"inputs": "once upon", "parameters": {"temperature": 0.5, "seed": 3, "stop": ["X", "Y"]}}
    asked = run(url, "generate", "once upon", "--temperature", 0.5, "--seed", 3, "--stop", "X", "--stop", "Y", "--json")
    assert json.loads(asked.stdout) == httpx.post(f"{url}/generate", json=body).json()
    body = {"inputs": [{"text": "a", "text_pair": "b"}], "parameters": {"top_k": 1}}
    asked = run(url, "classify", "a", "--text-pair", "b", "--top-k", 1, "--json")
    assert json.loads(asked.stdout) == httpx.post(f"{url}/classify", json=body).json()


def test_several_results_are_a_line_each(url: str) -> None:
    done = run(url, "generate", "once upon", "--beams", 2, "-n", 2)
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)


def test_one_text_is_generated_as_a_stream_and_several_at_once(stand: Stand, url: str) -> None:
    assert run(url, "generate", "once upon a time").stdout == "ONCE UPON A TIME\n"
    run(url, "generate", "one", "two")
    run(url, "generate", "one", "--beams", 2)
    assert [request.stream for request in stand.generator.seen] == [True, False, False, False]


def test_parameters_reach_the_model(stand: Stand, url: str) -> None:
    options = ("--max-new-tokens", 5, "--top-k", 7, "--logit-bias", "15=-2", "--early-stopping", "never")
    assert run(url, "generate", "once", *options, "--return-full-text").exit_code == 0
    [request] = stand.generator.seen
    assert (request.decoding.max_new_tokens, request.decoding.top_k) == (5, 7)
    assert (request.decoding.logit_bias, request.decoding.early_stopping) == (((15, -2.0),), "never")
    assert (request.decoding.do_sample, request.return_full_text) == (True, True)
    assert run(url, "translate", "un", *FR_EN, "--no-protect", "--length-penalty", 0.5).exit_code == 0
    [asked] = stand.translator.seen
    assert (asked.protect, asked.loop_guard, asked.decoding.length_penalty) == (False, True, 0.5)
    assert run(url, "generate", "twice", "--model", "second-generator").exit_code == 0
    assert [each.text for each in stand.workers["second-generator"].seen] == ["twice"]


def test_more_texts_than_a_request_may_have_are_several_requests(stand: Stand, url: str) -> None:
    lines = "".join(f"line {number}\n" for number in range(300))
    done = run(url, "classify", "-", "--top-k", 1, stdin=lines.encode())
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 300)
    assert [request.text for request in stand.classifier.seen] == lines.splitlines()


def test_standard_input_is_read_without_being_named_where_it_is_no_terminal(stand: Stand, url: str) -> None:
    assert run(url, "translate", *FR_EN, stdin=b"un\n\ndeux\n").stdout == "UN\n\nDEUX\n"
    assert run(url, "generate", stdin=b"once upon\na time\n").exit_code == 0
    assert run(url, "classify", stdin="très\r\n\nbien".encode()).exit_code == 0
    assert [request.text for request in stand.generator.seen] == ["once upon\na time"]
    assert [request.text for request in stand.classifier.seen] == ["très", "bien"]


def test_standard_input_is_one_text_where_json_or_text_is_asked_for(stand: Stand, url: str) -> None:
    done = run(url, "translate", "-", *FR_EN, "--json", stdin=b"un\ndeux\n")
    assert len(json.loads(done.stdout)) == 1
    assert run(url, "translate", "un", "-", "--text", *FR_EN, stdin=b"deux\n").stdout == "UN\nDEUX\n"
    assert [request.text for request in stand.translator.seen] == ["un\ndeux", "un", "deux"]


def test_what_exists_is_a_file_and_text_where_that_is_said(stand: Stand, url: str, folder: Path) -> None:
    (folder / "notes.txt").write_text("un")
    done = run(url, "translate", "notes.txt", *FR_EN)
    assert (done.exit_code, (folder / "notes.en.txt").read_text()) == (0, "UN")
    assert run(url, "translate", "notes.txt", "--text", *FR_EN).stdout == "NOTES.TXT\n"
    (folder / "Bonjour").write_text("un")
    refused = run(url, "translate", "Bonjour", *FR_EN)
    assert refused.exit_code == 2
    assert "--text translates the words themselves" in refused.stderr
    assert run(url, "translate", "Bonjour", "--text", *FR_EN).stdout == "BONJOUR\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("nowhere.txt",), "nowhere.txt: no such file or folder; --text translates the words themselves"),
        (("a.txt", "Bonjour"), "Bonjour: no such file or folder, while a.txt is one"),
        (("Bonjour", "--output", "b.txt"), "Bonjour: no such file or folder"),
        (("Bonjour", "--text", "--output", "b.txt"), "--output is for files, and this is a text: 'Bonjour'"),
        (("a.txt", "--json"), "--json is for texts, and a.txt is a file"),
        (("-", "-", "--text"), "- is standard input, and was given more than once"),
        (("un", "--pair", "fr"), "--pair is 'fr', expected two languages, such as fr-en"),
    ],
)
def test_what_is_neither_a_text_nor_a_file_is_said(folder: Path, given: tuple[str, ...], said: str) -> None:
    (folder / "a.txt").write_text("un")
    languages = () if "--pair" in given else FR_EN
    done = CliRunner().invoke(app, ["translate", *given, *languages, "--url", "http://127.0.0.1:1"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["Bonjour. Comment ça va ?", "and/or", "x" * 5000, "v1.2", "un mot.txt"])
def test_what_only_looks_a_little_like_a_file_is_a_text(url: str, text: str) -> None:
    done = run(url, "translate", text, *FR_EN)
    assert (done.exit_code, done.stdout) == (0, f"{text.upper()}\n")


def test_languages_may_be_left_out_of_texts_and_not_of_files(url: str, folder: Path) -> None:
    (folder / "a.txt").write_text("un")
    assert run(url, "translate", "un", "--from", "ko").stdout == "UN\n"
    many = run(url, "translate", "un")
    assert many.exit_code == 2
    assert "--from and --to leave more than one language pair: fr-en, en-fr, ko-en" in many.stderr
    refused = run(url, "translate", "a.txt", "--from", "fr")
    assert (refused.exit_code, "--from and --to, or --pair" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("generate", "x", "--temperature", "-1"), 2, "--temperature is -1.0, expected more than 0"),
        (("generate", "x", "--beams", "99"), 2, "--num-beams is 99, expected 1 to 16"),
        (("generate", "x", "--logit-bias", "a"), 2, "--logit-bias is 'a', expected a token id"),
        (("generate", "x", "--max-new-tokens", "900"), 2, "--max-new-tokens is 900, the model's limit is 32"),
        (("classify", "x", "--top-k", "0"), 2, "--top-k is 0: "),
        (("classify", "x", "--model", "nobody"), 2, "no model 'nobody' serves classify"),
        (("classify", " "), 2, "there is nothing to work on"),
        (("translate", "x", "--from", "de"), 2, "no translation for de-any"),
    ],
)
def test_wrong_use_is_one_sentence_in_the_words_of_the_command_line(
    url: str, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = run(url, *arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr.replace('"', "'")
    assert len(done.stderr.splitlines()) == 1


def test_what_goes_wrong_elsewhere_has_another_status(stand: Stand, url: str) -> None:
    stand.classifier.refusing["x"] = Overloaded("there is no room", retry_after_s=1)
    stand.generator.failing_after_first["one two"] = ServiceError("a bug")
    full, broken = run(url, "classify", "x"), run(url, "generate", "one two")
    assert (full.exit_code, full.stderr) == (1, "triptych: there is no room\n")
    assert (broken.exit_code, broken.stdout.strip()) == (1, "ONE")
    assert broken.stderr == "triptych: a bug\n"
    stand.classifier.failing["y"] = InputTooLong("too long")
    assert run(url, "classify", "y").exit_code == 2


def test_where_nobody_answers_it_says_how_to_start_a_service() -> None:
    done = run("http://127.0.0.1:1", "classify", "x")
    assert done.exit_code == 2
    assert "no service answers at http://127.0.0.1:1" in done.stderr
    assert "start one with: triptych serve" in done.stderr
    done = run("nonsense", "classify", "x")
    assert (done.exit_code, "no service answers at nonsense" in done.stderr) == (2, True)
