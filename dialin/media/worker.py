# SPDX-License-Identifier: GPL-3.0-or-later
"""The media worker: a process that owns RTP sockets and does nothing else.

    python -m dialin.media.worker FD

FD is one end of a SOCK_SEQPACKET socket pair; the service has the other. One thread waits for
packets, commands and appointments, and turns to whichever is there. It wakes at most once in
`PACE_S`: at some thousand packets a second the wake-ups would otherwise cost more than the packets.
When the service goes, the socket ends, and so does the worker. What a leg does is in `leg`, what a
command does in `switchboard`; the service's end of the socket is in `process`.
"""

from __future__ import annotations

import gc
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial

from dialin.media.agenda import Agenda, Diary
from dialin.media.messages import (
    MAX_MESSAGE_BYTES,
    Answer,
    Begin,
    CannotDo,
    Cause,
    Command,
    Done,
    Failed,
    LegLost,
    Message,
    Report,
    UnreadableMessage,
    decode,
    encode,
)
from dialin.media.ports import PortPool
from dialin.media.sockets import Scratch
from dialin.media.surroundings import Watcher
from dialin.media.switchboard import Switchboard

PACE_S = 0.003
"""The least time from one wake-up to the next while there are legs, and so the most that a packet
waits on a machine that has time: a seventh of a frame, far below what networks add."""
COMMANDS_AT_ONCE = 64
RETRY_S = 0.01
"""How soon to try again when the service has not read what it was told."""
MAX_UNREAD = 10_000
"""Messages; a service that has read none of so many has long given the worker up."""
RELEASE_EACH_S = 1.0
"""How often ports are given up whose quarantine is over."""

_WORKER = 0
"""The owner of what belongs to no leg."""


class _Desk:
    """The worker, as one leg sees it."""

    def __init__(self, worker: Worker, leg: int) -> None:
        self.leg = leg
        self.scratch = worker.scratch
        self.tell = worker.tell
        self._worker = worker

    def diary(self) -> Diary:
        return Diary(self._worker.agenda, self.leg)

    def watch(self, fd: int, watcher: Watcher) -> None:
        self._worker.watch(fd, watcher)

    def unwatch(self, fd: int) -> None:
        self._worker.unwatch(fd)


class Worker:
    """The loop, and the socket to the service."""

    def __init__(
        self,
        control: socket.socket,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,  # noqa: TID251 - the pace itself, no wait
    ) -> None:
        self.scratch = Scratch()
        self.agenda = Agenda()
        self.owner = _WORKER
        self.is_over = False
        self._control = control
        self._clock = clock
        self._pause = pause
        self._epoll = select.epoll()
        self._watchers: list[Watcher | None] = []
        """By file descriptor."""
        self._outbox: deque[bytes] = deque()
        self._switchboard: Switchboard | None = None
        control.setblocking(False)
        self.watch(control.fileno(), self)

    def run(self) -> None:
        """Work until the service goes."""
        while not self.is_over:
            woken_at = self.turn(self._patience())
            if self._switchboard and self._switchboard.has_legs:
                self._pause(max(0.0, woken_at + PACE_S - self._clock()))
        self.close()

    def turn(self, timeout_s: float | None) -> float:
        """Wait for something to do, and do all there is; gives the time when the wait was over.

        One packet of each socket is taken at most, so that nobody who floods one leg takes time
        from the others. What is left waits for the next turn, in the socket's buffer.
        """
        ready = self._epoll.poll(timeout_s)
        now = self._clock()
        watchers = self._watchers
        for fd, _ in ready:
            watcher = watchers[fd]
            if watcher is None:  # given up during this turn
                continue
            try:
                watcher.on_readable(now)
            except Exception as failure:  # noqa: BLE001 - one poisoned leg harms no other
                self._fail(watcher.owner, failure, now)
        if self.agenda.is_due(now):
            self._keep_appointments(now)
        if self._outbox:
            self._post(now)
        return now

    def on_readable(self, now: float) -> None:
        """Take what the service says."""
        for _ in range(COMMANDS_AT_ONCE):
            try:
                data = self._control.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.is_over = True
                return
            self._obey(decode(data), now)

    def watch(self, fd: int, watcher: Watcher) -> None:
        """Let `watcher` read whenever there is something to read."""
        self._watchers += [None] * (fd + 1 - len(self._watchers))
        if self._watchers[fd] is None:
            self._epoll.register(fd, select.EPOLLIN)
        self._watchers[fd] = watcher

    def unwatch(self, fd: int) -> None:
        """Do so no longer."""
        if fd < len(self._watchers) and self._watchers[fd]:
            self._epoll.unregister(fd)
            self._watchers[fd] = None

    def tell(self, message: Answer | Report) -> None:
        """Say something to the service, at the end of this turn."""
        self._outbox.append(encode(message))

    def close(self) -> None:
        """Give up everything."""
        if self._switchboard:
            self._switchboard.close(self._clock())
        self._epoll.close()
        self._control.close()

    def _keep_appointments(self, now: float) -> None:
        while appointment := self.agenda.take_due(now):
            try:
                appointment.action(now)
            except Exception as failure:  # noqa: BLE001 - one poisoned leg harms no other
                self._fail(appointment.owner, failure, now)

    def _patience(self) -> float | None:
        """How long there may be nothing to do."""
        due = self.agenda.next_due()
        return None if due is None else max(0.0, due - self._clock())

    def _obey(self, message: Message, now: float) -> None:
        """Carry out one command. One that is none, or out of place, ends the worker: a bug."""
        if self._switchboard is None and isinstance(message, Begin):
            self._switchboard = Switchboard(message, lambda leg: _Desk(self, leg))
            self._release_ports(self._switchboard.pool, now)
            self.tell(Done(message.request))
            return
        if self._switchboard is None or not isinstance(message, Command):
            raise UnreadableMessage(f"{type(message).__name__} out of place")
        try:
            answer = self._switchboard.carry_out(message, now)
        except CannotDo as refusal:
            answer = Failed(message.request, refusal.cause)
        except Exception as failure:  # noqa: BLE001 - one poisoned leg harms no other
            self._fail(getattr(message, "leg", _WORKER), failure, now)
            answer = Failed(message.request, Cause.LEG_FAILED)
        if answer:
            self.tell(answer)

    def _fail(self, owner: int, failure: Exception, now: float) -> None:
        """Give up the leg that a failure belongs to; the worker cannot outlive its own."""
        if owner == _WORKER or self._switchboard is None:
            raise failure
        self.agenda.forget(owner)
        for fd, watcher in enumerate(self._watchers):
            if watcher and watcher.owner == owner:
                self.unwatch(fd)
        self._switchboard.drop(owner, now)
        self.tell(LegLost(owner, "leg-failed", _describe(failure)))

    def _release_ports(self, pool: PortPool, now: float) -> None:
        self.agenda.at(now + RELEASE_EACH_S, partial(self._release_ports, pool), _WORKER)
        pool.release(now)

    def _post(self, now: float) -> None:
        """Hand over what is to be said; never wait for a service that is busy."""
        try:
            while self._outbox:
                self._control.send(self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            self.agenda.at(now + RETRY_S, _later, _WORKER)
            self.is_over = self.is_over or len(self._outbox) > MAX_UNREAD
        except OSError:
            self.is_over = True


def _later(_now: float) -> None:
    """An appointment to wake up for; each turn ends with `_post`."""


def _describe(failure: Exception) -> str:
    """What failed and where, without the text: it could hold what a caller has sent."""
    frame = traceback.extract_tb(failure.__traceback__)[-1]
    return f"{type(failure).__name__} in {frame.name}, line {frame.lineno} of {frame.filename}"


def main(fd: int) -> None:
    """Work with the service at the other end of `fd`."""
    # A signal to the whole group is for the service, which ends its calls first.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two a leg, resting ones too
    worker = Worker(socket.socket(fileno=fd))
    # A collection would stop all calls for a moment. What is here stays; what comes later makes no
    # cycles that outlive their leg.
    gc.collect()
    gc.freeze()
    gc.disable()
    worker.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
