# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut a byte stream into SIP messages and keep-alives (RFC 3261 §18.3, RFC 5626 §4.4.1).

Octets in, whole messages out, for `message.parse` to read. Deadlines for a message that does not
come to its end, answering a ping and closing the connection are left to the shell.
"""

from __future__ import annotations

from enum import Enum

from dialin.wire.head import EMPTY_LINE, MAX_MESSAGE_BYTES, MalformedMessage, message_length

_CRLF = b"\r\n"


class KeepAlive(Enum):
    """What RFC 5626 §4.4.1 sends between messages."""

    PING = "ping"
    """CRLF CRLF, or more of them: answer with one CRLF."""
    PONG = "pong"
    """One CRLF: the peer's answer to our ping, or a stray line break (RFC 3261 §7.5)."""


class StreamFramer:
    """One stream's way from octets to messages. How the octets were split does not matter."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        """Octets of the buffer that are known to hold no empty line."""
        self._message_bytes = 0
        """The length of the message in front, 0 while it is unknown."""
        self._half_ping = False
        """Whether the last octets consumed were a CRLF that may be the first of two."""
        self._fault: MalformedMessage | None = None

    @property
    def pending_bytes(self) -> int:
        """Octets that wait for the end of their message; while there are any, a deadline runs."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes | KeepAlive]:
        """Take octets, give what is whole.

        Raises MalformedMessage when nobody can tell where the next message begins: a message too
        long, or without a Content-Length to rely on. What came whole before is given first, and
        the exception raised by the next call, and by every call from then on.
        """
        if self._fault is not None:
            raise self._fault
        self._buffer += data
        whole: list[bytes | KeepAlive] = []
        try:
            self._cut(whole)
        except MalformedMessage as fault:
            self._fault = fault
            if not whole:
                raise
        return whole

    def _cut(self, whole: list[bytes | KeepAlive]) -> None:
        while True:
            keep_alive = self._take_keep_alive()
            if keep_alive is not None:
                whole.append(keep_alive)
            if not self._measure() or len(self._buffer) < self._message_bytes:
                return
            whole.append(bytes(self._buffer[: self._message_bytes]))
            del self._buffer[: self._message_bytes]
            self._message_bytes = self._searched = 0

    def _take_keep_alive(self) -> KeepAlive | None:
        """Line breaks in front of a message: a ping for two or more of them, a pong for one.

        A CRLF by itself is given as a pong at once, because a pong is waited for. If one more
        follows it, a ping is given too: an answer too many does no harm, one too few ends the
        connection. A flood of line breaks asks one question and gets one answer.
        """
        breaks = 0
        while self._buffer.startswith(_CRLF, breaks * len(_CRLF)):
            breaks += 1
        found = None
        if breaks:
            found = KeepAlive.PING if self._half_ping + breaks > 1 else KeepAlive.PONG
            self._half_ping = found is KeepAlive.PONG
            del self._buffer[: breaks * len(_CRLF)]
        if not _CRLF.startswith(self._buffer):  # a message parts two line breaks for good
            self._half_ping = False
        return found

    def _measure(self) -> bool:
        """Whether the length of the message in front is known by now. Raises MalformedMessage."""
        if self._message_bytes:
            return True
        # The empty line may have begun in octets that were searched before.
        end = self._buffer.find(EMPTY_LINE, max(0, self._searched - len(EMPTY_LINE) + 1))
        self._searched = len(self._buffer)
        if end < 0:
            if len(self._buffer) <= MAX_MESSAGE_BYTES:
                return False
            end = MAX_MESSAGE_BYTES
        self._message_bytes = message_length(bytes(self._buffer[: end + len(EMPTY_LINE)]))
        return True
