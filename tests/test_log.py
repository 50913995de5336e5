"""Log lines: shape, safety, and that secrets stay out."""

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from socmon import log
from socmon.secrets import SecretRef


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    config, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**config)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@dataclass
class Account:
    password: str = "hunter2"


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_line_has_time_level_sentence_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    log.get("feed").bind(component="ncsc").warning("batch refused, will retry", status=503, wait_s=4.0, known=False)

    (line,) = logged(capsys)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    assert line == {
        "level": "warning",
        "event": "batch refused, will retry",
        "module": "feed",
        "component": "ncsc",
        "status": 503,
        "wait_s": 4.0,
        "known": False,
    }


def test_logfmt_keeps_a_line_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "logfmt")

    log.get("x").info("said", text='a "b"\nc=d', nothing=None, flag=True)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.split(" ", 1)[1] == r'level=info event=said module=x text="a \"b\"\\x0ac=d" nothing= flag=true'


def test_less_than_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")

    log.get("x").info("hidden")
    log.get("x").error("shown")

    assert [line["event"] for line in logged(capsys)] == ["shown"]


def test_logger_got_before_the_set_up_follows_it(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("error", "json")
    logger = log.get("x")

    log.configure("debug", "json")
    logger.debug("shown")

    assert [line["event"] for line in logged(capsys)] == ["shown"]


def test_hostile_text_cannot_touch_the_terminal_or_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    hostile = "x\x1b[2J\u202e\r\nlevel=error \ud800"

    log.get("x").info("read", user=hostile, raw=hostile.encode("utf-8", "surrogatepass"), nested=[{hostile: hostile}])

    written = json.dumps(logged(capsys), ensure_ascii=False)
    assert not any(character in written for character in "\x1b\u202e\r\n\ud800")
    assert r"\\x1b[2J\\u202e\\x0d\\x0alevel=error" in written


def test_long_values_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    log.get("x").info("read", text="a" * 501, data=b"b" * 10_000, items=list(range(100)), exact="c" * 500)

    (line,) = logged(capsys)
    assert line["text"] == "a" * 500 + "…"
    assert line["data"] == "b" * 500 + "…"
    assert line["items"] == list(range(20))
    assert line["exact"] == "c" * 500


def test_objects_are_shown_by_type_and_secrets_by_reference(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    log.get("x").info("read", account=Account(), all=[[Account()]], key=SecretRef("file", "/key"), path=Path("/x"))

    (line,) = logged(capsys)
    assert (line["account"], line["all"], line["key"], line["path"]) == (
        "<Account>",
        [["<Account>"]],
        "file:/key",
        "/x",
    )


def test_traceback_keeps_its_end_and_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    log.get("x").error("crashed", exc_info=ValueError("x" * 9000 + "\x1bthe end"))

    (line,) = logged(capsys)
    assert line["exception"].endswith(r"\x1bthe end")
    assert len(line["exception"]) <= 8100


def test_logging_of_libraries_comes_in_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")

    logging.getLogger("aiohttp").warning("bad request from %s", "\x1b[1m")
    logging.getLogger("aiohttp").info("hidden")
    logging.getLogger("aiohttp").log(35, "odd level")

    assert [(line["level"], line["module"], line["event"]) for line in logged(capsys)] == [
        ("warning", "aiohttp", r"bad request from \x1b[1m"),
        ("warning", "aiohttp", "odd level"),
    ]


def test_closed_standard_error_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    log.configure("info", "json")
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)

    log.get("x").error("nobody reads this")
