"""What Ray would import, and is kept out: in processes of their own, for what is imported stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from service.deployments.lean import TABLES

ROOT = Path(__file__).resolve().parents[3]


def loaded_by(program: str) -> set[str]:
    """Of the libraries, those that the program imports."""
    said = f"{program}\nimport sys; print(*(name for name in {TABLES!r} if sys.modules.get(name)))"
    done = subprocess.run([sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_ray_serve_is_imported_without_the_libraries_of_tables() -> None:
    leave_out = "from service.deployments.lean import leave_out_tables; leave_out_tables()"
    assert loaded_by(f"{leave_out}\nfrom ray import serve\nimport service.deployments.model") == set()


def test_what_a_process_has_imported_before_it_keeps() -> None:
    pytest.importorskip("pyarrow")
    leave_out = "from service.deployments.lean import leave_out_tables; leave_out_tables()"
    assert loaded_by(f"import pyarrow\n{leave_out}") == {"pyarrow"}


@pytest.mark.parametrize("module", ["host", "server"])
def test_the_modules_of_processes_leave_them_out_only_where_they_are_the_process(module: str) -> None:
    """So that others, tests among them, may import both."""
    left_out = "print(*(name for name in ('pandas', 'pyarrow') if name in sys.modules and sys.modules[name] is None))"
    program = f"import sys, service.deployments.{module}\n{left_out}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
