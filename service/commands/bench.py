"""`triptych bench`: hands over to the benchmarks of the checkout."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import typer

from service.commands.terminal import console, failed

PACKAGES = ("ctranslate2", "transformers", "matplotlib", "sacrebleu", "pyppmd")


def bench(context: typer.Context) -> None:
    """Measure the engine against its peers, under arrivals, and by itself; `triptych bench --help` lists it all."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / "loadtests" / "bench").is_dir():
        raise failed(
            "the benchmarks come with the source, not with the package: install from a checkout, pip install -e ."
        )
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise failed(
            f"the benchmarks need {', '.join(missing)}; install with: "
            f"{sys.executable} -m pip install -c {root / 'constraints.txt'} -e '{root}[bench]'"
        )
    sys.path.insert(0, str(root))  # an editable install names the packages service and models alone
    from loadtests.bench.cli import main as run_bench

    try:
        run_bench(context.args, console)
    except (OSError, ValueError) as error:
        raise failed(str(error)) from error
