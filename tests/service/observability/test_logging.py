from __future__ import annotations

import io
import json
import logging

import pytest

from service.observability.logging import ROOT, configure_logging


@pytest.fixture(autouse=True)
def _restored():
    logger = logging.getLogger(ROOT)
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def test_a_line_is_one_json_object_with_the_fields_given():
    stream = io.StringIO()
    configure_logging("INFO", json_lines=True, stream=stream)
    logging.getLogger("triptych.http").info("POST %s", "/x", extra={"request_id": "r\n1", "model": None})
    line = json.loads(stream.getvalue())
    assert (line["message"], line["request_id"], line["level"]) == ("POST /x", "r\n1", "INFO")
    assert "model" not in line
    assert stream.getvalue().count("\n") == 1


def test_an_exception_is_in_the_line():
    stream = io.StringIO()
    configure_logging(json_lines=True, stream=stream)
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("triptych.http").exception("failed", extra={"request_id": "r"})
    assert "boom" in json.loads(stream.getvalue())["exception"]


def test_readable_lines_show_the_fields():
    stream = io.StringIO()
    configure_logging(json_lines=False, stream=stream)
    logging.getLogger("triptych.http").info("hello", extra={"request_id": "r1", "_private": "a library's"})
    assert stream.getvalue().endswith("INFO triptych.http: hello request_id=r1\n")


def test_configuring_twice_does_not_log_twice():
    stream = io.StringIO()
    configure_logging(stream=stream)
    configure_logging(stream=stream)
    logging.getLogger("triptych.http").info("once")
    logging.getLogger("triptych.http").debug("never")
    assert stream.getvalue().count("\n") == 1
