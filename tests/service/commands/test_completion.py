"""Completion as a real bash does it, with the script that `triptych completion bash` prints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """With a `triptych` of this source tree."""
    program = tmp_path / "bin" / "triptych"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m service "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("triptych", "tra"), {"translate", "train"}),
        (("triptych", "translate", "--fro"), {"--from"}),
        (("triptych", "generate", "x", "--be"), {"--beams"}),
        (("triptych", "registry", "rol"), {"rollback"}),
        (("triptych", "completion", ""), {"bash", "zsh", "fish"}),
    ],
)
def test_a_bash_completes_commands_and_options(path: str, words: tuple[str, ...], expected: set[str]) -> None:
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        'source <(triptych completion bash); complete -p triptych >&2; function="$(complete -p triptych | '
        "sed 's/.*-F \\([^ ]*\\) .*/\\1/')\"; "
        f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "$function" triptych; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", program], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60
    )
    assert expected <= set(done.stdout.split()), done


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_for_each_shell(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell])
    assert (done.exit_code, "_TRIPTYCH_COMPLETE" in done.stdout) == (0, True)
    program = shutil.which(shell)
    if program is not None:
        check = subprocess.run([program, "-n"], input=done.stdout, text=True, capture_output=True, timeout=20)
        assert (check.returncode, check.stderr) == (0, "")


def test_a_shell_that_is_not_known_is_said() -> None:
    done = CliRunner().invoke(app, ["completion", "csh"])
    assert done.exit_code == 2
    assert "csh" in done.output
