# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines: one a record, machine-readable, and without anything a caller would mind."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin import log

NUMBERS = (
    "+4915738620594",
    "4915738620594",
    "004915738620594",
    "015738620594",
    "%2B4915738620594",
    "+49 (0) 157 386-20594",
    "0157/38620594",
    "20594",
    "473859",
)

logger = logging.getLogger("dialin.tested")

Start = Callable[..., Callable[[], list[str]]]
"""Sets logging up and gives what reads the lines written so far."""


@pytest.fixture
def lines() -> Iterator[Start]:
    """Set logging up on a stream; what it gives reads the lines written so far."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []  # basicConfig closes what it finds, pytest's own included

    def start(form: str = "logfmt", level: str = "debug") -> Callable[[], list[str]]:
        stream = io.StringIO()
        log.set_up(level=level, form=form, stream=stream)
        return lambda: stream.getvalue().splitlines()

    yield start
    logging.captureWarnings(capture=False)
    root.handlers = before
    root.setLevel(level)


def log_failure(text: str) -> None:
    def fail() -> None:
        raise ValueError(text)

    try:
        fail()
    except ValueError:
        logger.exception("failed")


def test_a_line_begins_with_time_level_and_logger(
    lines: Start,
) -> None:
    written = lines()
    logger.info("call ended", extra={"reason": "success/left-room", "seconds": 12.5})
    (line,) = written()

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info dialin\.tested "
        r'msg="call ended" reason=success/left-room seconds=12\.5',
        line,
    )


def test_json_has_the_same_fields(lines: Start) -> None:
    written = lines("json")
    logger.warning("late by %d ms", 40, extra={"trunk": "lab"})
    fields = json.loads(written()[0])

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", fields.pop("time"))
    assert fields == {
        "level": "warning",
        "logger": "dialin.tested",
        "msg": "late by 40 ms",
        "trunk": "lab",
    }


def test_lines_below_the_level_are_not_written(
    lines: Start,
) -> None:
    written = lines(level="warning")
    logger.info("quiet")
    logger.error("loud")

    assert [line.split("msg=")[1] for line in written()] == ["loud"]


async def test_lines_of_a_call_carry_its_id_and_those_of_its_tasks_too(
    lines: Start,
) -> None:
    written = lines()

    async def speak(text: str) -> None:
        logger.info(text)

    async def call(call_id: str) -> None:
        with log.call_context(call_id):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(speak(f"in-{call_id}"))
        logger.info("outside-%s", call_id)

    await asyncio.gather(call("a"), call("b"))

    said = {line.split("dialin.tested ")[1] for line in written()}
    assert said == {
        "call=a msg=in-a",
        "call=b msg=in-b",
        "msg=outside-a",
        "msg=outside-b",
    }


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_no_number_gets_through(lines: Start, form: str, number: str) -> None:
    written = lines(form)
    logger.info("from %s", number)
    logger.info(f"From: <sip:{number}@192.0.2.1>", extra={"caller": number})  # noqa: G004 - on purpose
    log_failure(number)
    text = "\n".join(written())

    assert re.sub(r"\D", "", number) not in re.sub(r"\D", "", text.replace("192.0.2.1", ""))
    assert "192.0.2.1" in text
    assert text.count(log.MASK) >= 4


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("INVITE sip:anna.b%40x@example.org SIP/2.0", "INVITE sip:***@example.org SIP/2.0"),
        ("<SIPS:+49157@h>;tag=1", "<SIPS:***@h>;tag=1"),
        ("tel:+49-157-38;x=1", "tel:***;x=1"),
        ("sip:example.org", "sip:example.org"),
        ("PIN 123456789#", "PIN ***#"),
        ("x4915738620594y", "x***y"),
        ("030.123.456.789", "030.123.456.789"),
    ],
)
def test_what_looks_personal_is_masked(text: str, masked: str) -> None:
    assert log.redact(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "192.168.100.200:16384",
        "[2001:db8::1]:16384",
        "bound port 16384",
        "port=65535",
        "worker pid 123456",
        'File "x.py", line 12345, in f',
        "lost 12 of 3456 packets, 1234 left",
        "xxx-xxx-1234",
        "status 486",
    ],
)
def test_what_operators_need_is_spared(text: str) -> None:
    assert log.redact(text) == text


def test_a_number_is_masked_as_a_quantity_too() -> None:
    made = logging.makeLogRecord({"msg": {}, "a": 4915738620594, "b": 99_999, "c": 0.5, "d": None})
    log.Redaction().filter(made)

    assert log.extras(made) == [("a", log.MASK), ("b", 99_999), ("c", 0.5), ("d", None)]


def test_a_number_after_an_address_is_not_spared() -> None:
    assert log.redact("192.0.2.1 4915738620594") == "192.0.2.1 ***"
    assert log.redact("192.0.2.1:4915738620594") == "192.0.2.1:***"


@given(st.text(alphabet=st.characters(exclude_categories=["Nd", "Cs"]), max_size=30))
def test_five_digits_in_a_row_never_get_through(around: str) -> None:
    assert "98765" not in log.redact(f"{around}98765{around}")


@pytest.mark.parametrize("form", ["logfmt", "json"])
@given(text=st.text(max_size=60))
def test_whatever_is_logged_stays_on_one_line_of_plain_ascii(form: str, text: str) -> None:
    record = logging.makeLogRecord({"msg": "%s", "args": (text,), "extra": text})
    log.Redaction().filter(record)
    line = log.FORMATS[form]().format(record)

    assert line.isascii()
    assert line.isprintable()


def test_a_traceback_stays_on_the_line_and_keeps_its_end(
    lines: Start,
) -> None:
    written = lines()
    log_failure("x" * 20_000 + " the end")
    (line,) = written()

    assert "Traceback (most recent call last)" in line
    assert line.endswith('the end"')
    assert len(line) < 9000


def test_a_value_with_quotes_or_blanks_is_quoted(
    lines: Start,
) -> None:
    written = lines()
    logger.info("x", extra={"a": 'b"c', "d": "e f", "g": "", "h": None, "i": True, "j": "k=l"})

    assert written()[0].endswith(r'a="b\"c" d="e f" g="" h=None i=True j="k=l"')


def test_warnings_of_libraries_become_lines(lines: Start) -> None:
    written = lines()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("odd thing", stacklevel=1)

    assert "warning py.warnings" in written()[0]
    assert "odd thing" in written()[0]


class Minutes:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(text: str, *arguments: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "x", "msg": text, "args": arguments})


def test_one_kind_of_line_cannot_fill_the_disk() -> None:
    clock = Minutes()
    gate = log.FloodGate(limit=3, clock=clock)
    passed = [gate.filter(record("bad packet %d", number)) for number in range(10)]

    assert passed == [True] * 3 + [False] * 7
    assert gate.filter(record("another kind"))
    assert gate.filter(logging.makeLogRecord({"msg": {"no": "text"}}))


def test_the_next_minute_tells_what_was_held_back() -> None:
    clock = Minutes()
    gate = log.FloodGate(limit=3, clock=clock)
    for number in range(10):
        gate.filter(record("bad packet %d", number))
    clock.now = 60.0
    first, second = record("anything"), record("anything")

    assert gate.filter(first)
    assert gate.filter(second)
    assert log.extras(first) == [("held_back", 7)]
    assert log.extras(second) == []


def test_texts_that_are_never_the_same_share_one_allowance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "KINDS_KNOWN", 2)
    gate = log.FloodGate(limit=3, clock=Minutes())
    passed = sum(gate.filter(record(f"text {number}")) for number in range(20))

    assert passed == 2 + 3


class TestJournal:
    """Under systemd each line says how important it is, so that journalctl can choose."""

    def lines(self, path: Path) -> list[str]:
        """What is written to a file of one line a level."""
        with path.open("w") as stream:
            handler = log.set_up(level="debug", form="logfmt", stream=stream)
            logger = logging.getLogger("dialin.tests")
            for level in ("debug", "info", "warning", "error", "critical"):
                getattr(logger, level)("said")
            logging.getLogger().removeHandler(handler)
        return [line.partition(" ")[0] for line in path.read_text().splitlines()]

    def test_a_line_for_the_journal_begins_with_its_level(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "journal"
        file.touch()
        status = file.stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert [line[:3] for line in self.lines(file)] == ["<7>", "<6>", "<4>", "<3>", "<3>"]

    @pytest.mark.parametrize("elsewhere", ["", "1:1"])
    def test_a_line_for_anything_else_does_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
    ) -> None:
        monkeypatch.setenv("JOURNAL_STREAM", elsewhere)
        assert not any(line.startswith("<") for line in self.lines(tmp_path / "log"))
