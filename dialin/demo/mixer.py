# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixing process: one UDP socket a member, one tick every 20 ms, commands over a socket pair.

Run as `python -m dialin.demo.mixer FD` by `mixer_process`. It ends when the other end of the pair
closes. How frames are mixed is in `mixing`; who may join which room is left to `conference`.
"""

from __future__ import annotations

import math
import secrets
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from dialin.demo.mixer_messages import (
    MAX_MESSAGE_BYTES,
    Answer,
    Command,
    Done,
    Failed,
    Heard,
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
from dialin.demo.mixing import FRAME, Chime, Intake, Law, law_of, mix
from dialin.events import Codec
from dialin.wire import rtp, tone
from dialin.wire.dtmf import EventDigits

TICK_S = 0.02
MOST_TICKS = 5
"""A process that slept longer gives the lost time up instead of sending it all at once."""
MEMORY_FRAMES = 50
"""One second of what each member said and heard."""
DATAGRAM_BYTES = 2048


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
    """One member: its socket, its stream each way, and a second of memory."""

    def __init__(self, bound: socket.socket) -> None:
        self.socket = bound
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

    def join(self, seat: Join) -> None:
        """Send to, and listen to, the far end that the seat names."""
        self.seat = seat
        self.law = law_of(Codec(seat.codec))
        self._far_end = (seat.host, seat.port)
        self._payload_type = seat.payload_type

    def receive(self, now: float) -> Iterator[str]:
        """Take all that has arrived; gives the keys in it."""
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
            return None  # RTCP from the port beside it, or nobody we know
        try:
            header = rtp.parse(packet)
            payload = packet[header.payload_offset :][: header.payload_length]
            if header.payload_type == seat.telephone_event:
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
        """The member's frame for this tick."""
        frame = self.intake.take() or self.law.silence
        self.said.append(frame)
        return frame

    def hear(self, frame: bytes) -> None:
        """Send the member what it hears in this tick."""
        self.heard.append(frame)
        rtp.pack_header_into(
            self._packet, self._payload_type, False, self._sequence, self._timestamp, self._ssrc
        )
        self._packet[rtp.HEADER_BYTES :] = frame
        self._sequence = rtp.uint16_add(self._sequence, 1)
        self._timestamp = rtp.uint32_add(self._timestamp, FRAME)
        try:
            self.socket.sendto(self._packet, self._far_end)
        except OSError:
            return  # a full buffer, or a far end that cannot be reached: RTP does not repeat

    def sounds(self, frequencies_hz: Iterable[float]) -> Heard:
        """What was said and heard of late."""
        wanted = list(frequencies_hz)
        said_level, said = _analysed(self.law.codec, self.said, wanted)
        heard_level, heard = _analysed(self.law.codec, self.heard, wanted)
        return Heard(said_level, said, heard_level, heard)


def _analysed(
    codec: Codec, frames: Iterable[bytes], frequencies_hz: list[float]
) -> tuple[float, list[float]]:
    """Level, and the peak amplitude of each frequency."""
    samples = law_of(codec).decode(b"".join(frames))
    amplitudes = [math.sqrt(2 * tone.power(samples, hertz)) for hertz in frequencies_hz]
    return math.sqrt(tone.mean_square(samples)), amplitudes


def _bound(host: str) -> socket.socket:
    """A UDP socket on a free port of an address."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.bind((host, 0))
    except OSError:
        made.close()
        raise
    return made


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
                member.socket.close()

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
                member.hear(frame)

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
                self._members[name].join(command)
            case Listen(member=name, frequencies_hz=wanted) if name in self._members:
                return self._members[name].sounds(wanted)
            case _:
                return Failed("no such member")
        return Done()

    def _open(self, name: str, host: str) -> Answer:
        self._leave(name)
        try:
            member = Member(_bound(host))
        except OSError as error:
            return Failed(f"no port at the address asked for: {error.strerror}")
        self._members[name] = member
        return Opened(member.socket.getsockname()[1])

    def _leave(self, name: str) -> None:
        member = self._members.pop(name, None)
        if member is not None:
            member.socket.close()

    def _obey(self) -> bool:
        """Take one command; False when there will be no more."""
        data = self._control.recv(MAX_MESSAGE_BYTES)
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes
    with socket.socket(fileno=int(arguments[0])) as control:
        Mixer(control).run()


if __name__ == "__main__":
    main(sys.argv[1:])
