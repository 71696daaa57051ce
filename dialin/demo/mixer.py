# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixing process: two UDP ports a member, a tick every 20 ms, commands over a socket pair.

Run as `python -m dialin.demo.mixer FD` by `mixer_process`. It ends when the other end of the pair
closes. How frames are mixed is in `mixing`; who may join which room is left to `conference`.
"""

from __future__ import annotations

import base64
import errno
import math
import os
import resource
import secrets
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from dialin.demo.mixer_messages import (
    MAX_MESSAGE_BYTES,
    Answer,
    Command,
    Done,
    Failed,
    Heard,
    Hush,
    Join,
    Key,
    Leave,
    Listen,
    Message,
    Open,
    Opened,
    Play,
    decode,
    encode,
)
from dialin.demo.mixer_rtcp import Rtcp
from dialin.demo.mixing import FRAME, Chime, Intake, Law, law_of, mix
from dialin.events import Codec
from dialin.media.srtp import LegSrtp
from dialin.wire import rtp, tone
from dialin.wire.dtmf import EventDigits
from dialin.wire.sdes import SrtpKeys, Suite

TICK_S = 0.02
MOST_TICKS = 5
"""A process that slept longer gives the lost time up instead of sending it all at once."""
MEMORY_FRAMES = 50
"""One second of what each member said and heard."""
DATAGRAM_BYTES = 2048
PAIRS_TRIED = 50
"""How often a free port with another free one beside it is looked for."""


class Metronome:
    """When the next tick is due, without drift."""

    def __init__(self, now: float) -> None:
        self._next = now + TICK_S

    def wait_s(self, now: float) -> float:
        """How long until the next tick."""
        return max(0.0, self._next - now)

    def due(self, now: float) -> int:
        """How many ticks to make up for now."""
        ticks = 0
        while self._next <= now:
            self._next += TICK_S
            ticks += 1
        return min(ticks, MOST_TICKS)


class Member:
    """One member: its ports, its stream each way, and a second of memory."""

    def __init__(self, bound: socket.socket, beside: socket.socket) -> None:
        self.socket = bound
        self.srtp = LegSrtp()
        """Of both directions."""
        self.rtcp = Rtcp(beside, self.srtp)
        self.is_muted = False
        """Whether nobody hears it."""
        self.is_deaf = False
        """Whether it hears nobody."""
        self.seat: Join | None = None
        """What was asked for; None before the member has joined."""
        self.law = law_of(Codec.PCMU)
        self.intake = Intake()
        self.said: deque[bytes] = deque(maxlen=MEMORY_FRAMES)
        self.heard: deque[bytes] = deque(maxlen=MEMORY_FRAMES)
        self._far_end = ("", 0)
        self._payload_type = 0
        self._digits = EventDigits()
        self._stream: tuple[int, int] | None = None
        self._packet = bytearray(rtp.HEADER_BYTES + FRAME)
        self._ssrc = secrets.randbits(32)
        self._sequence = secrets.randbits(16)
        self._timestamp = secrets.randbits(32)
        self._packets = 0

    def join(self, seat: Join, now: float) -> None:
        """Send to, and listen to, the far end that the seat names, be it another than before."""
        if self.seat is None or seat.codec != self.seat.codec:
            self.law = law_of(Codec(seat.codec))
        self.seat = seat
        self._far_end = (seat.host, seat.port)
        self._payload_type = seat.payload_type
        sends_anew, _ = self.srtp.tune(_keys_of(seat))
        if sends_anew and self._packets:  # RFC 3711 §3.3.1: the rollover counter begins with it
            self._ssrc, self._sequence = secrets.randbits(32), secrets.randbits(15)
        self.rtcp.begin((seat.host, seat.rtcp_port), now)

    def close(self) -> None:
        """Give the ports up."""
        self.socket.close()
        self.rtcp.socket.close()

    def receive(self, now: float) -> Iterator[str]:
        """Take all that has arrived; gives the keys in it."""
        self.rtcp.receive(now)
        while True:
            try:
                packet, source = self.socket.recvfrom(DATAGRAM_BYTES)
            except OSError:
                return
            key = self.take(packet, source[:2], now)
            if key is not None:
                yield key

    def take(self, packet: bytes, source: tuple[str, int], now: float) -> str | None:
        """Take one datagram; returns a key when it brings one."""
        seat = self.seat
        if seat is None or source != self._far_end:
            return None  # nobody we know
        if self.srtp.is_on:
            packet = bytes(self.srtp.unprotect(memoryview(packet)) or b"")
        try:
            header = rtp.parse(packet)
            payload = packet[header.payload_offset :][: header.payload_length]
            is_event = header.payload_type == seat.telephone_event
            self.rtcp.tracker.receive(
                header.ssrc, header.sequence, header.timestamp, now, is_event=is_event
            )
            if is_event:
                return self._digits.feed(header.ssrc, header.timestamp, header.marker, payload, now)
        except rtp.MalformedPacket:
            return None
        if header.payload_type == seat.payload_type and self._is_next(header):
            self.intake.put(payload)
        return None

    def _is_next(self, header: rtp.RtpHeader) -> bool:
        """Late and doubled packets are left out."""
        if self._stream is not None:
            ssrc, sequence = self._stream
            if ssrc == header.ssrc and not rtp.uint16_newer(header.sequence, sequence):
                return False
        self._stream = (header.ssrc, header.sequence)
        return True

    def say(self) -> bytes:
        """The member's frame for this tick, as the others hear it."""
        frame = self.intake.take() or self.law.silence
        self.said.append(frame)
        return self.law.silence if self.is_muted else frame

    def hear(self, frame: bytes, now: float) -> None:
        """Send the member what it hears in this tick, and a report if it is time."""
        if self.is_deaf:
            frame = self.law.silence
        self.heard.append(frame)
        rtp.pack_header_into(
            self._packet, self._payload_type, False, self._sequence, self._timestamp, self._ssrc
        )
        self._packet[rtp.HEADER_BYTES :] = frame
        self._sequence = rtp.uint16_add(self._sequence, 1)
        self._timestamp = rtp.uint32_add(self._timestamp, FRAME)
        self._packets += 1
        packet = self.srtp.protect(bytes(self._packet)) if self.srtp.is_on else self._packet
        with suppress(OSError):  # a full buffer, or a far end that cannot be reached: RTP is lost
            if packet is not None:
                self.socket.sendto(packet, self._far_end)
        self.rtcp.report(self._ssrc, self._timestamp, self._packets, FRAME * self._packets, now)

    def sounds(self, frequencies_hz: Iterable[float]) -> Heard:
        """What was said and heard of late."""
        wanted = list(frequencies_hz)
        said_level, said = _analysed(self.law.codec, self.said, wanted)
        heard_level, heard = _analysed(self.law.codec, self.heard, wanted)
        return Heard(said_level, said, heard_level, heard, self.rtcp.reports)


def _analysed(
    codec: Codec, frames: Iterable[bytes], frequencies_hz: list[float]
) -> tuple[float, list[float]]:
    """Level, and the peak amplitude of each frequency."""
    samples = law_of(codec).decode(b"".join(frames))
    amplitudes = [math.sqrt(2 * tone.power(samples, hertz)) for hertz in frequencies_hz]
    return math.sqrt(tone.mean_square(samples)), amplitudes


def _keys_of(seat: Join) -> SrtpKeys | None:
    if seat.srtp is None:
        return None
    send_key, receive_key = (
        base64.b64decode(seat.srtp[name]) for name in ("send_key", "receive_key")
    )
    return SrtpKeys(Suite(seat.srtp["suite"]), send_key, receive_key)


def _bound(host: str, port: int = 0) -> socket.socket:
    """A UDP socket on a port of an address; 0 is any free one."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def _bound_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets on ports beside each other, for RTP and RTCP. Raises OSError."""
    for _ in range(PAIRS_TRIED):
        first = _bound(host)
        with suppress(OSError, OverflowError):
            return first, _bound(host, first.getsockname()[1] + 1)
        first.close()
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


class Mixer:
    """All members and rooms of the process."""

    def __init__(self, control: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._clock = clock
        self._members: dict[str, Member] = {}
        self._chimes: dict[str, Chime] = {}

    def run(self) -> None:
        """Serve until the other end of the control socket closes."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        metronome = Metronome(self._clock())
        try:
            while True:
                if poll.poll(1000 * metronome.wait_s(self._clock())) and not self._obey():
                    return
                for _ in range(metronome.due(self._clock())):
                    self.tick()
        finally:
            for member in self._members.values():
                member.close()

    def tick(self) -> None:
        """Take what has arrived, and mix 20 ms of every room."""
        rooms: dict[str, dict[Member, tuple[Law, bytes]]] = {}
        for name, member in self._members.items():
            for key in member.receive(self._clock()):
                self._tell(0, Key(name, key))
            if member.seat is not None:
                rooms.setdefault(member.seat.room, {})[member] = (member.law, member.say())
        for room, frames in rooms.items():
            chime = self._chimes.get(room)
            extra = chime.next_frame() if chime else None
            for member, frame in mix(frames, [extra] if extra else []).items():
                member.hear(frame, self._clock())

    def carry_out(self, command: Command) -> Answer:
        """Do what the conference asks for."""
        match command:
            case Open(member=name, host=host):
                return self._open(name, host)
            case Leave(member=name):
                self._leave(name)
            case Play(room=room, plays=True):
                self._chimes[room] = Chime()
            case Play(room=room):
                self._chimes.pop(room, None)
            case Join(member=name) if name in self._members:
                self._members[name].join(command, self._clock())
            case Hush(member=name) if name in self._members:
                member = self._members[name]
                member.is_muted, member.is_deaf = command.is_muted, command.is_deaf
            case Listen(member=name, frequencies_hz=wanted) if name in self._members:
                return self._members[name].sounds(wanted)
            case _:
                return Failed("no such member")
        return Done()

    def _open(self, name: str, host: str) -> Answer:
        self._leave(name)
        try:
            member = Member(*_bound_pair(host))
        except OSError as error:
            return Failed(f"no port at the address asked for: {error.strerror}")
        self._members[name] = member
        return Opened(member.socket.getsockname()[1])

    def _leave(self, name: str) -> None:
        member = self._members.pop(name, None)
        if member is not None:
            member.close()

    def _obey(self) -> bool:
        """Take one command; False when there will be no more."""
        try:
            data = self._control.recv(MAX_MESSAGE_BYTES)
        except ConnectionResetError:  # the parent was killed with words of ours unread
            return False
        if not data:
            return False
        number, command = decode(data)
        if isinstance(command, Command):
            self._tell(number, self.carry_out(command))
        return True

    def _tell(self, number: int, message: Message) -> None:
        try:
            self._control.send(encode(number, message), socket.MSG_DONTWAIT)
        except OSError:
            return  # nobody reads: sound goes before words


def main(arguments: list[str]) -> None:
    """Run with the descriptor that `mixer_process` hands over."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two sockets a member
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes
    with socket.socket(fileno=int(arguments[0])) as control:
        Mixer(control).run()


if __name__ == "__main__":
    main(sys.argv[1:])
