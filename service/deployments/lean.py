"""Keeps out of the service's processes what Ray imports where it is installed, and serving has no use for.

Ray Serve imports pandas to answer with tables as JSON, and Ray imports pyarrow to send tables to and fro. Here nobody
does, and the two take 65 MB of every process. An installation that only serves has neither.
"""

from __future__ import annotations

import sys

TABLES = ("pandas", "pyarrow")


def leave_out_tables() -> None:
    """Make them absent in this process. Of use before Ray Serve is imported and before this process joins Ray.

    Ray calls it in each process of a worker; see `lifecycle.connect`.
    """
    for name in TABLES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # the import system's word for what is not there
