"""`triptych`, or `python -m service`."""

from __future__ import annotations

from service.interruption import ended_at_once


def main() -> None:
    with ended_at_once():
        from service import cli
    cli.main()


if __name__ == "__main__":
    main()
