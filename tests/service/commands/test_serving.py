"""`triptych reload` against a real gateway over fake workers. `serve` is in tests/e2e, as is a reload under load."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.errors import ReloadFailed
from tests.service.gateway.conftest import MODELS, Stand

TOKEN = "0123456789abcdef"


@pytest.fixture
def stand() -> Stand:
    return Stand({"admin_token": TOKEN})


def reload(url: str, *arguments: str, token: str = TOKEN) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["reload", *arguments, "--url", url, "--token", token])
    return done.exit_code, done.output


def test_a_model_is_reloaded_by_name_or_each_of_them(url: str) -> None:
    assert reload(url, "generator") == (0, "generator: generator@2 (before: generator@1)\n")
    code, output = reload(url)
    assert code == 0
    assert [line.split()[:2] for line in output.splitlines()] == [[f"{name}:", f"{name}@2"] for name in MODELS]


def test_a_checkpoint_may_be_named_for_one_model_and_for_no_more(stand: Stand, url: str) -> None:
    asked = ("translator", "--checkpoint", "translator@3")
    assert reload(url, *asked) == (0, "translator: translator@3 (before: translator@1)\n")
    code, output = reload(url, "--checkpoint", "generator@3")
    assert (code, "--checkpoint is for one model" in output) == (2, True)
    assert stand.generator.info.version == "generator@1"


def test_what_fails_is_said_and_ends_the_command(stand: Stand, url: str) -> None:
    stand.generator.reloading = ReloadFailed("generator goes on with generator@1: the file was changed")
    code, output = reload(url)
    assert code == 2
    assert output.splitlines() == [
        "translator: translator@2 (before: translator@1)",
        "triptych: generator goes on with generator@1: the file was changed",
    ]
    assert stand.classifier.info.version == "classifier@1"


def test_who_does_not_know_the_token_is_told_what_is_missing(stand: Stand, url: str) -> None:
    code, output = reload(url, "generator", token="another")
    assert (code, "this needs the header authorization: Bearer TOKEN" in output) == (2, True)
    assert stand.generator.info.version == "generator@1"
    with Stand().server() as without:
        code, output = reload(without, "generator")
    assert (code, "the service was started without gateway.admin_token" in output) == (2, True)


def test_where_nobody_answers_that_is_said() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    for model in ((), ("generator",)):
        code, output = reload(url, *model)
        assert code == 2
        assert url in output
        assert "refused" in output
        assert "Traceback" not in output
