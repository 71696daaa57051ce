# SPDX-License-Identifier: GPL-3.0-or-later
"""The mixing process from inside: sockets, ticks and commands, without waiting for time to pass."""

from __future__ import annotations

import resource
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest

from dialin.demo import mixer as mixer_module
from dialin.demo.mixer import MEMORY_FRAMES, MOST_TICKS, TICK_S, Metronome, Mixer, main
from dialin.demo.mixer_messages import (
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
from dialin.demo.mixing import FRAME, law_of
from dialin.events import Codec
from dialin.wire import rtp, tone
from dialin.wire.dtmf import event_packets

WAIT_S = 10.0
ULAW = law_of(Codec.PCMU)
TONE = ULAW.encode(tone.sine(450, 20))


class Phone:
    """The far end of one member: a UDP socket that sends and takes RTP."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(WAIT_S)
        self.host, self.port = self.socket.getsockname()[:2]
        self.sequence = 65534
        self.timestamp = 1000

    def send(
        self, port: int, payload: bytes, *, payload_type: int = 0, sequence: int | None = None
    ) -> None:
        number = self.sequence if sequence is None else sequence
        packet = rtp.pack(
            payload,
            payload_type=payload_type,
            marker=False,
            sequence=number & 0xFFFF,
            timestamp=self.timestamp,
            ssrc=5,
        )
        self.sequence += 1
        self.socket.sendto(packet, (self.host, port))

    def waiting(self) -> int:
        """Take what has arrived already; returns how much it was."""
        taken = 0
        self.socket.settimeout(0)
        with suppress(BlockingIOError):
            while taken < 50:
                self.socket.recv(2048)
                taken += 1
        self.socket.settimeout(WAIT_S)
        return taken

    def receive(self) -> tuple[rtp.RtpHeader, bytes]:
        packet = self.socket.recv(2048)
        header = rtp.parse(packet)
        return header, packet[header.payload_offset :]


class Bench:
    """A mixer that runs in a thread of this process, and the other end of its control socket."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(WAIT_S)
        self.mixer = Mixer(theirs)
        self._theirs = theirs
        self._thread = threading.Thread(target=self.mixer.run)
        self._number = 0
        self.keys: list[Key] = []

    def __enter__(self) -> Bench:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.control.close()
        self._thread.join(WAIT_S)
        self._theirs.close()
        assert not self._thread.is_alive()

    def ask(self, command: Command) -> Message:
        self._number += 1
        self.control.send(encode(self._number, command))
        while True:
            number, message = decode(self.control.recv(65536))
            if not isinstance(message, Key):
                assert number == self._number
                return message
            self.keys.append(message)

    def next_key(self) -> Key:
        number, message = decode(self.control.recv(65536))
        assert number == 0
        assert isinstance(message, Key)
        return message

    def seat(self, name: str, room: str, phone: Phone, codec: Codec = Codec.PCMU) -> int:
        port = opened(self.ask(Open(name, phone.host)))
        seat = Join(name, room, phone.host, phone.port, codec, codec.payload_type, 101)
        assert self.ask(seat) == Done()
        return port


def opened(answer: Message) -> int:
    assert isinstance(answer, Opened)
    return answer.port


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as running:
        yield running


@pytest.fixture
def phones() -> Iterator[list[Phone]]:
    made = [Phone() for _ in range(3)]
    yield made
    for phone in made:
        phone.socket.close()


class TestMetronome:
    def test_it_ticks_every_20_ms_without_drift(self) -> None:
        metronome = Metronome(0.0)
        assert metronome.wait_s(0.005) == pytest.approx(0.015)
        assert metronome.due(0.019) == 0
        assert metronome.due(0.0201) == 1
        assert metronome.wait_s(0.0201) == pytest.approx(TICK_S - 0.0001)

    def test_missed_ticks_are_made_up_for(self) -> None:
        metronome = Metronome(0.0)
        assert metronome.due(0.0701) == 3
        assert metronome.due(0.0701) == 0

    def test_a_long_sleep_is_not_made_up_for(self) -> None:
        metronome = Metronome(0.0)
        assert metronome.due(60.001) == MOST_TICKS
        assert metronome.wait_s(60.001) <= TICK_S

    def test_it_never_waits_for_the_past(self) -> None:
        assert Metronome(0.0).wait_s(5.0) == 0.0


class TestMembers:
    def test_who_is_in_one_room_hears_each_other_and_not_the_next_room(
        self, bench: Bench, phones: list[Phone]
    ) -> None:
        talker, listener, other = phones
        port = bench.seat("a", "72013", talker)
        bench.seat("b", "72013", listener, Codec.PCMA)
        bench.seat("c", "99998", other)
        for _ in range(4):
            talker.send(port, TONE)
        as_alaw = law_of(Codec.PCMA).encode(ULAW.decode(TONE))
        assert any(listener.receive()[1] == as_alaw for _ in range(50))
        assert listener.receive()[0].payload_type == Codec.PCMA.payload_type
        heard = {other.receive()[1] for _ in range(50)} | {talker.receive()[1] for _ in range(50)}
        assert heard == {ULAW.silence}

    def test_packets_leave_with_consecutive_numbers(
        self, bench: Bench, phones: list[Phone]
    ) -> None:
        bench.seat("a", "72013", phones[0])
        headers = [phones[0].receive()[0] for _ in range(5)]
        for one, following in pairwise(headers):
            assert following.sequence == rtp.uint16_add(one.sequence, 1)
            assert following.timestamp == rtp.uint32_add(one.timestamp, FRAME)
            assert following.ssrc == one.ssrc

    def test_a_member_that_left_hears_nothing_more(self, bench: Bench, phones: list[Phone]) -> None:
        bench.seat("a", "72013", phones[0])
        phones[0].receive()
        assert bench.ask(Leave("a")) == Done()
        assert phones[0].waiting() < 50
        assert phones[0].waiting() == 0
        assert bench.ask(Leave("a")) == Done()

    def test_opening_a_name_again_frees_the_first_port(self, bench: Bench) -> None:
        first = opened(bench.ask(Open("a", "127.0.0.1")))
        assert opened(bench.ask(Open("a", "127.0.0.1"))) > 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", first))

    def test_ipv6(self, bench: Bench) -> None:
        phone = Phone("::1")
        bench.seat("a", "72013", phone)
        assert phone.receive()[1] == ULAW.silence
        phone.socket.close()

    def test_the_chime_plays_for_who_is_alone_until_it_is_stopped(
        self, bench: Bench, phones: list[Phone]
    ) -> None:
        assert bench.ask(Play("72013", True)) == Done()
        bench.seat("a", "72013", phones[0])
        assert any(phones[0].receive()[1] != ULAW.silence for _ in range(150))
        assert bench.ask(Play("72013", False)) == Done()
        assert any(phones[0].receive()[1] == ULAW.silence for _ in range(150))

    @pytest.mark.parametrize(
        "command",
        [
            Listen("x", [440]),
            Join("x", "1", "127.0.0.1", 9, "PCMU", 0, 101),
            Hush("x", True, False),
        ],
    )
    def test_a_member_that_is_not_there(self, bench: Bench, command: Command) -> None:
        assert bench.ask(command) == Failed("no such member")

    def test_an_address_that_is_not_ours(self, bench: Bench) -> None:
        assert isinstance(bench.ask(Open("a", "192.0.2.1")), Failed)


class TestKeys:
    def test_a_key_is_told_once(self, bench: Bench, phones: list[Phone]) -> None:
        port = bench.seat("a", "72013", phones[0])
        for payload in event_packets("7", 100):
            phones[0].send(port, payload, payload_type=101)
        phones[0].timestamp += 8000
        for payload in event_packets("#", 100):
            phones[0].send(port, payload, payload_type=101)
        assert [bench.next_key(), bench.next_key()] == [Key("a", "7"), Key("a", "#")]

    def test_keys_on_another_payload_type_are_ignored(
        self, bench: Bench, phones: list[Phone]
    ) -> None:
        port = bench.seat("a", "72013", phones[0])
        phones[0].send(port, event_packets("7", 100)[0], payload_type=96)
        phones[0].timestamp += 8000
        phones[0].send(port, event_packets("8", 100)[0], payload_type=101)
        assert bench.next_key() == Key("a", "8")


def packets_of_tone(*sequences: int, ssrc: int = 5, payload_type: int = 0) -> list[bytes]:
    return [
        rtp.pack(TONE, payload_type=payload_type, marker=False, sequence=n, timestamp=0, ssrc=ssrc)
        for n in sequences
    ]


class TestWhatIsListenedTo:
    @staticmethod
    def heard_after(mixer: Mixer, packets: list[bytes], source: tuple[str, int]) -> Heard:
        answer: Answer = mixer.carry_out(Open("a", "127.0.0.1"))
        assert isinstance(answer, Opened)
        mixer.carry_out(Join("a", "1", "127.0.0.1", 9, "PCMU", 0, 101))
        member = mixer._members["a"]
        for packet in packets:
            assert member.take(packet, source, 0.0) is None
        for _ in range(MEMORY_FRAMES):
            mixer.tick()
        answer = mixer.carry_out(Listen("a", [450.0, 700.0]))
        assert isinstance(answer, Heard)
        return answer

    def frames_taken(self, mixer: Mixer, packets: list[bytes]) -> int:
        self.heard_after(mixer, packets, ("127.0.0.1", 9))
        return list(mixer._members["a"].said).count(TONE)

    def test_level_and_tones_of_what_a_member_says(self, still: Mixer) -> None:
        packets = packets_of_tone(*range(4))
        heard = self.heard_after(still, packets, ("127.0.0.1", 9))
        share = 4 / MEMORY_FRAMES
        assert heard.said[0] == pytest.approx(8000 * share, rel=0.02)
        assert heard.said[1] == pytest.approx(0, abs=5)
        assert heard.said_level == pytest.approx(8000 / 2**0.5 * share**0.5, rel=0.02)
        assert (heard.heard_level, heard.heard) == (0, [0, 0])

    def test_packets_in_order_are_all_taken(self, still: Mixer) -> None:
        assert self.frames_taken(still, packets_of_tone(65534, 65535, 0, 1)) == 4

    def test_late_and_doubled_packets_are_left_out(self, still: Mixer) -> None:
        assert self.frames_taken(still, packets_of_tone(1, 2, 2, 1, 3)) == 3

    def test_a_new_ssrc_begins_its_own_numbers(self, still: Mixer) -> None:
        packets = [*packets_of_tone(1000, 1001), *packets_of_tone(1, 2, ssrc=6)]
        assert self.frames_taken(still, packets) == 4

    def test_another_payload_type_is_left_out(self, still: Mixer) -> None:
        assert self.frames_taken(still, packets_of_tone(1, 2, 3, payload_type=13)) == 0

    def test_what_is_no_rtp_is_left_out(self, still: Mixer) -> None:
        short_event = rtp.pack(
            b"\0", payload_type=101, marker=True, sequence=9, timestamp=0, ssrc=5
        )
        assert self.frames_taken(still, [b"", b"\x80", bytes(200), short_event]) == 0

    @pytest.mark.parametrize("source", [("127.0.0.1", 10), ("127.0.0.2", 9)])
    def test_what_others_send_is_left_out(self, still: Mixer, source: tuple[str, int]) -> None:
        self.heard_after(still, packets_of_tone(1, 2, 3), source)
        assert TONE not in still._members["a"].said

    def test_a_member_that_has_not_joined_is_neither_heard_nor_sent_to(self, still: Mixer) -> None:
        still.carry_out(Open("a", "127.0.0.1"))
        member = still._members["a"]
        assert member.take(packets_of_tone(1)[0], ("127.0.0.1", 9), 0.0) is None
        still.tick()
        assert not member.said
        assert not member.heard

    def test_a_far_end_that_cannot_be_reached_does_no_harm(self, still: Mixer) -> None:
        still.carry_out(Open("a", "127.0.0.1"))
        still.carry_out(Join("a", "1", "192.0.2.1", 9, "PCMU", 0, 101))
        still.tick()
        assert len(still._members["a"].heard) == 1

    def test_nobody_who_reads_the_keys_does_no_harm(self, still: Mixer) -> None:
        still._control.close()
        still._tell(0, Key("a", "7"))

    def test_an_answer_among_the_commands_is_passed_over(self, still: Mixer) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            still._control = theirs
            ours.send(encode(1, Done()))
            assert still._obey()
            ours.setblocking(False)
            with pytest.raises(BlockingIOError):
                ours.recv(100)


class TestProgram:
    def test_it_ends_when_the_other_end_closes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.close()
        main([str(theirs.detach())])


class TestKilledParent:
    def test_ends_the_mixer_without_a_word(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.send(b"unread by the parent")
            ours.close()
            Mixer(theirs).run()


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            Open("a", "::1"),
            Join("a", "1", "127.0.0.1", 9, "PCMU", 0, -1),
            Leave("a"),
            Listen("a", [440.0]),
            Play("1", True),
            Opened(5),
            Done(),
            Hush("a", True, False),
            Heard(1.0, [2.0], 3.0, [4.0], 5),
            Failed("x"),
            Key("a", "5"),
        ],
    )
    def test_each_message_is_read_as_it_was_written(self, message: Message) -> None:
        assert decode(encode(7, message)) == (7, message)

    def test_a_key_does_not_show(self) -> None:
        assert "5" not in repr(Key("a", "5"))


class TestHushed:
    def test_who_is_deaf_hears_silence_and_who_is_muted_is_not_heard(self, still: Mixer) -> None:
        still.carry_out(Open("a", "127.0.0.1"))
        still.carry_out(Join("a", "1", "127.0.0.1", 9, "PCMU", 0, 101))
        member = still._members["a"]
        for packet in packets_of_tone(*range(6)):
            member.take(packet, ("127.0.0.1", 9), 0.0)
        assert member.say() == TONE
        still.carry_out(Hush("a", True, True))
        assert member.say() == ULAW.silence
        assert list(member.said) == [TONE, TONE]
        member.hear(TONE, 0.0)
        assert list(member.heard) == [ULAW.silence]


class TestPorts:
    def test_are_two_beside_each_other(self, still: Mixer) -> None:
        answer = still.carry_out(Open("a", "127.0.0.1"))
        assert isinstance(answer, Opened)
        member = still._members["a"]
        assert member.rtcp.socket.getsockname()[1] == answer.port + 1

    def test_of_which_there_are_none_are_refused(
        self, still: Mixer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_second(host: str, port: int = 0) -> socket.socket:
            if port:
                raise OSError
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        monkeypatch.setattr(mixer_module, "_bound", no_second)
        assert isinstance(still.carry_out(Open("a", "127.0.0.1")), Failed)
