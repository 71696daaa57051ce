# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines: structured, one a record, to standard error, with the call they belong to.

    2026-11-26T06:44:01.123Z info dialin.call call=7f3a… msg="call ended" reason=success/left-room

The first line of defence is that nobody logs a number, a PIN, a digit or a credential. The second
is here: whatever looks like one is masked before a line is written, tracebacks included, and one
kind of line cannot fill the disk. Who logs what is the business of each module.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

CALL_ID: ContextVar[str | None] = ContextVar("call_id", default=None)
"""The call that the running task works for; tasks it starts inherit it."""

LINES_PER_MINUTE = 600
"""Of one kind, that is with one message text before its values are filled in."""
KINDS_KNOWN = 1000
"""Message texts are constants of the program; the limit is for those that are not."""
JOURNAL_LEVELS = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
"""From which level on a line has which of syslog's (RFC 5424 §6.2.1)."""
HARMLESS = 100_000
"""A quantity below has too few digits for a number; above it must stand the same test as text."""
LONGEST_TEXT = 8192
"""Characters of one value; a traceback that is longer loses its middle."""


@contextmanager
def call_context(call_id: str) -> Iterator[None]:
    """Lines written inside belong to this call."""
    token = CALL_ID.set(call_id)
    try:
        yield
    finally:
        CALL_ID.reset(token)


MASK = "***"

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_SPARED = (
    rf"(?<![\d.:]){_OCTET}(?:\.{_OCTET}){{3}}(?::\d{{1,5}})?(?![\d.])"  # IPv4, with or without port
    r"|\]:\d{1,5}(?!\d)"  # port after an IPv6 address
    r"|\bport[ =]\d{1,5}(?!\d)"
    r"|\bpid[ =]\d{1,7}(?!\d)"
    r"|\bline \d{1,6}(?!\d)"  # of a traceback
)
_USER_PART = r"(?P<scheme>\bsips?:)[^\s@<>\"']+@"
_TELEPHONE = r"(?P<tel>\btel:)[^\s<>\"';,]+"
_DIGITS = r"(?:%2B|\+)?\d(?:[ ()/-]{0,2}\d){4,}"
_SUSPICIOUS = re.compile(
    rf"(?P<spared>{_SPARED})|{_USER_PART}|{_TELEPHONE}|{_DIGITS}", re.IGNORECASE
)


def redact(text: str) -> str:
    """The text without numbers of five digits or more and without the user parts of SIP URIs."""
    return _SUSPICIOUS.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    if spared := found["spared"]:
        return spared
    if scheme := found["scheme"]:
        return f"{scheme}{MASK}@"
    return f"{found['tel'] or ''}{MASK}"


class Redaction(logging.Filter):
    """Masks what no line should hold: in the message, in its extra values, in tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; later filters and formatters see the masked text only."""
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        for name, value in extras(record):
            if not (value is None or (isinstance(value, float | int) and abs(value) < HARMLESS)):
                setattr(record, name, redact(str(value)))
        return True


class FloodGate(logging.Filter):
    """Lets so many lines of one kind through in a minute; the next line says what it held back."""

    def __init__(
        self, limit: int = LINES_PER_MINUTE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._limit = limit
        self._clock = clock
        self._minute = 0
        self._seen: Counter[object] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._start(minute, record)
        kind: object = (record.name, record.levelno, str(record.msg))
        if kind not in self._seen and len(self._seen) >= KINDS_KNOWN:
            kind = None
        self._seen[kind] += 1
        return self._seen[kind] <= self._limit

    def _start(self, minute: int, record: logging.LogRecord) -> None:
        held_back = sum(max(0, count - self._limit) for count in self._seen.values())
        if held_back:
            record.held_back = held_back
        self._seen.clear()
        self._minute = minute


class Logfmt(logging.Formatter):
    """`key=value` pairs after time, level and logger; whatever is not plain is a JSON string."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, ASCII, no control characters."""
        fields = fields_of(record)
        head = [_plain(fields.pop(key)) for key in ("time", "level", "logger")]
        return " ".join([*head, *(f"{key}={_plain(value)}" for key, value in fields.items())])


class Json(logging.Formatter):
    """A JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, ASCII, no control characters."""
        return json.dumps(fields_of(record))


class ForJournal(logging.Formatter):
    """The same line with its importance before it, as journald reads it (sd-daemon(3))."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """One line, ASCII, no control characters."""
        level = next(level for least, level in JOURNAL_LEVELS if record.levelno >= least)
        return f"<{level}>{self._inner.format(record)}"


def goes_to_journal(stream: TextIO) -> bool:
    """Whether a stream is the one that systemd has connected with journald (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


FORMATS: Mapping[str, type[logging.Formatter]] = {"logfmt": Logfmt, "json": Json}


def set_up(*, level: str, form: str, stream: TextIO | None = None) -> logging.Handler:
    """Write all loggers' lines to a stream, standard error if none is given."""
    stream = stream or sys.stderr
    formatter = FORMATS[form]()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ForJournal(formatter) if goes_to_journal(stream) else formatter)
    handler.addFilter(FloodGate())  # before the message is filled in, for it counts by its text
    handler.addFilter(Redaction())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    return handler


def set_level(level: str) -> None:
    """Write lines of this importance and above from now on."""
    logging.getLogger().setLevel(level.upper())


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a line tells, in its order."""
    call_id = CALL_ID.get()
    time_utc = datetime.fromtimestamp(record.created, UTC)
    return {
        "time": f"{time_utc:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        **({"call": call_id} if call_id else {}),
        "msg": _shortened(record.getMessage()),
        **{name: _shortened(value) for name, value in extras(record)},
        **({"traceback": _shortened(record.exc_text)} if record.exc_text else {}),
    }


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def extras(record: logging.LogRecord) -> list[tuple[str, Any]]:
    """What a record was given with `extra=`."""
    return [(name, value) for name, value in vars(record).items() if name not in _STANDARD]


_PLAIN = re.compile(r"[!#-<>-~]+")


def _plain(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _shortened(value: Any) -> Any:
    """A value whose text is not too long; the ends of a traceback matter more than its middle."""
    if not isinstance(value, str) or len(value) <= LONGEST_TEXT:
        return value
    return f"{value[: LONGEST_TEXT // 2]} […] {value[-LONGEST_TEXT // 2 :]}"
