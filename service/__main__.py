"""`triptych`, or `python -m service`."""

from __future__ import annotations

from contextlib import ExitStack

from service.interruption import ended_at_once


def main() -> None:
    with ExitStack() as loading:
        loading.enter_context(ended_at_once())
        from service import cli

        cli.main(loaded=loading.close)


if __name__ == "__main__":
    main()
