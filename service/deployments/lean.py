"""Ray Serve, imported as where pandas is not installed. Import this module before anything else imports Ray Serve.

Ray Serve imports pandas where it finds it, to write tables that are answered as JSON. No model here answers with one,
and pandas with pyarrow takes 60 MB of every process.
"""

from __future__ import annotations

import importlib
import sys

_PANDAS = "pandas"


def import_serve() -> None:
    """Whoever imports pandas afterwards gets it. Ray calls this in each process of a worker; see `lifecycle.connect`."""
    if _PANDAS in sys.modules:
        return
    sys.modules[_PANDAS] = None  # type: ignore[assignment]  # the import system's own word for what is not there
    try:
        importlib.import_module("ray.serve")
    finally:
        del sys.modules[_PANDAS]


import_serve()
