from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, before: str) -> subprocess.CompletedProcess[str]:
    """`triptych --version`, which is interrupted while it loads what is in `folder` in place of a library."""
    start = f"{before}import runpy, sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]; "
    start += "sys.argv = ['triptych', '--version']; runpy.run_module('service', run_name='__main__')"
    return subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=120, check=False)


def test_ctrl_c_while_the_command_line_is_loaded_ends_it_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = run(tmp_path, "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); ")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_job_in_the_background_of_a_shell_is_not_interrupted(tmp_path: Path) -> None:
    ended = run(tmp_path, "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); os.kill(os.getpid(), 2); ")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("triptych ")
