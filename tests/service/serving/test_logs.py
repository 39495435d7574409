from __future__ import annotations

import io
import logging
import threading
import time
from pathlib import Path

import pytest

from service.observability.logging import SocketHandler
from service.serving.logs import LogServer


class Lines(io.BytesIO):
    def wait_for(self, count: int) -> list[str]:
        deadline = time.monotonic() + 5
        while self.getvalue().count(b"\n") < count and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.getvalue().decode().splitlines()


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("triptych.test", logging.INFO, __file__, 1, message, None, None)


def test_records_of_many_processes_come_out_whole_and_in_their_order(tmp_path: Path) -> None:
    out = Lines()
    with LogServer(str(tmp_path / "logs"), out):
        handlers = [SocketHandler(str(tmp_path / "logs")) for _ in range(4)]

        def say(number: int) -> None:
            for count in range(200):
                handlers[number].emit(record(f"{number} {count} " + "x" * 5000))

        threads = [threading.Thread(target=say, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = out.wait_for(800)
        for handler in handlers:
            handler.close()
    assert all(len(line.split()[2]) == 5000 for line in lines)
    for number in range(4):
        assert [line.split()[1] for line in lines if line.startswith(f"{number} ")] == [str(n) for n in range(200)]


def test_where_nobody_listens_a_record_goes_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    SocketHandler(str(tmp_path / "nobody")).emit(record("hello"))
    assert capfd.readouterr().err == "hello\n"


def test_a_reader_that_comes_back_is_found_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "logs", Lines()
    handler = SocketHandler(str(path))
    handler.emit(record("before"))
    with LogServer(str(path), out):
        handler.emit(record("after"))
        assert out.wait_for(1) == ["after"]
    handler.close()
    assert capfd.readouterr().err == "before\n"
