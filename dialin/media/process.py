# SPDX-License-Identifier: GPL-3.0-or-later
"""One media worker, as the service sees it: a process, a socket, and the answers still to come.

Nothing here waits without end: a worker that does not turn any more is killed, and the death of a
worker fails whatever was asked of it. Who replaces it, and what its legs were for, are left to
`embedded`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import cast

from dialin.media.agenda import nothing
from dialin.media.engine import WORKER_LOST, MediaRefused
from dialin.media.messages import (
    MAX_MESSAGE_BYTES,
    Answer,
    Command,
    Failed,
    Ping,
    Report,
    UnreadableMessage,
    decode,
    encode,
)

logger = logging.getLogger(__name__)

PING_EACH_S = 5.0
MISSED_PINGS = 2
"""Unanswered in a row before a worker is killed. One may be missed: when the whole machine was
asleep, the timer that misses it wakes before the worker can answer."""
MESSAGES_AT_ONCE = 256
LEAVE_S = 2.0
"""How long a worker may take to end before it is killed."""


class WorkerProcess:
    """A running worker. Made and ended on the event loop's thread; owns no task."""

    def __init__(
        self, *, on_report: Callable[[Report], object], on_death: Callable[[], object]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "dialin.media.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._pidfd = os.pidfd_open(self._process.pid)
        self._on_report = on_report
        self._on_death = on_death
        self._numbers = count(1)
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self._outbox: deque[bytes] = deque()
        self._missed = 0
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Set when the process is gone."""
        self._loop.add_reader(self._pidfd, self._bury)
        self._loop.add_reader(self._socket, self._read)
        self._timer = self._loop.call_later(PING_EACH_S, self._ping)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def send(self, make: Callable[[int], Command]) -> tuple[int, asyncio.Future[Answer]]:
        """Send a command made for a request number; that number, and the answer to come.

        The answer raises MediaRefused when the worker refuses, or dies before it answers.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._pending[number] = answer
        if self.ended.done():
            self._fail_pending()
        else:
            self._outbox.append(encode(make(number)))
            self._write()
        return number, answer

    def tell(self, make: Callable[[int], Command]) -> None:
        """Send a command whose answer is of no interest."""
        if not self.ended.done():
            self._outbox.append(encode(make(next(self._numbers))))
            self._write()

    async def close(self) -> None:
        """End the process, by force if it does not go by itself."""
        self._on_death = nothing
        self._hang_up()
        try:
            await asyncio.wait({self.ended}, timeout=LEAVE_S)
        finally:
            if not self.ended.done():
                self._process.kill()
                self._bury()

    def _read(self) -> None:
        for _ in range(MESSAGES_AT_ONCE):
            try:
                data = self._socket.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            message = decode(data)
        except UnreadableMessage:
            logger.exception("media worker %d does not make sense", self.pid)
            self._process.kill()
            return
        if isinstance(message, Report):
            self._on_report(message)
        else:
            self._settle(cast(Answer, message))

    def _settle(self, message: Answer) -> None:
        """Hand an answer to whoever waits for it, if anybody still does."""
        answer = self._pending.pop(message.request, None)
        if answer is None or answer.done():
            return
        if isinstance(message, Failed):
            answer.set_exception(MediaRefused(message.cause))
        else:
            answer.set_result(message)

    def _write(self) -> None:
        if self._socket.fileno() < 0:  # hung up: `_bury` tells whoever waits
            self._outbox.clear()
            return
        try:
            while self._outbox:
                self._socket.send(self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._write)
            return
        except OSError:
            self._outbox.clear()  # it is dying, and we shall be told
        self._loop.remove_writer(self._socket)

    def _ping(self) -> None:
        """See whether the last ping was answered, and send the next."""
        self._timer = self._loop.call_later(PING_EACH_S, self._ping)
        if self._missed == MISSED_PINGS:
            logger.error("media worker %d does not answer and is killed", self.pid)
            self._process.kill()
            return
        self._missed += 1
        _, answer = self.send(Ping)
        answer.add_done_callback(self._hear_ping)

    def _hear_ping(self, answer: asyncio.Future[Answer]) -> None:
        if answer.exception() is None:
            self._missed = 0

    def _hang_up(self) -> None:
        """Close our end, which tells a worker that still runs to end."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _bury(self) -> None:
        """The process has ended: take leave of it, and tell everybody who counts on it."""
        if self._socket.fileno() >= 0:
            self._read()  # its last words
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        self._timer.cancel()
        self._hang_up()
        self.ended.set_result(None)
        self._fail_pending()
        self._on_death()

    def _fail_pending(self) -> None:
        while self._pending:
            _, answer = self._pending.popitem()
            if not answer.done():
                answer.set_exception(MediaRefused(WORKER_LOST))
