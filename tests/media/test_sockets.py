# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting and disconnecting UDP sockets, with nothing stale left in them."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from dialin.media.sockets import PACKET_BYTES, Scratch, connect, disconnect
from tests.media.world import free_ports

HOST = "127.0.0.1"
Opener = Callable[[], socket.socket]


@pytest.fixture
def udp() -> Iterator[Opener]:
    """Makes bound sockets, and closes them."""
    made: list[socket.socket] = []

    def make() -> socket.socket:
        made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made[-1].bind((HOST, 0))
        made[-1].setblocking(False)
        return made[-1]

    yield make
    for each in made:
        each.close()


def port(each: socket.socket) -> int:
    return int(each.getsockname()[1])


def test_what_strangers_sent_before_is_thrown_away_and_later_is_filtered(udp: Opener) -> None:
    ours, friend, stranger = udp(), udp(), udp()
    for _ in range(10):
        stranger.sendto(b"stale", ours.getsockname())
    connect(ours, HOST, port(friend))
    stranger.sendto(b"foreign", ours.getsockname())
    friend.sendto(b"good", ours.getsockname())
    assert select.select([ours], [], [], 5)[0]
    assert ours.recv(100) == b"good"
    with pytest.raises(BlockingIOError):
        ours.recv(100)


def test_an_error_that_waits_does_not_stop_the_emptying(udp: Opener) -> None:
    ours, friend, gone = udp(), udp(), udp()
    ours.connect(gone.getsockname())
    gone.close()
    ours.send(b"to nobody")
    ours.connect(friend.getsockname())
    friend.sendto(b"stale", ours.getsockname())
    connect(ours, HOST, port(friend))
    with pytest.raises(BlockingIOError):
        ours.recv(100)


def test_emptying_ends_even_if_packets_never_do(udp: Opener) -> None:
    class Endless(socket.socket):
        """As if somebody sent faster than we read."""

        def recv(self, *_: object) -> bytes:
            return b"more"

    with Endless(socket.AF_INET, socket.SOCK_DGRAM) as flooded:
        connect(flooded, HOST, port(udp()))


def test_a_disconnected_socket_keeps_its_port_and_hears_everybody(udp: Opener) -> None:
    friend, stranger = udp(), udp()
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = (HOST, free_ports(1)[0])
    ours.bind(address)  # by number: a port of the kernel's choice would not stay
    ours.setblocking(False)
    connect(ours, HOST, port(friend))
    disconnect(ours)
    assert ours.getsockname() == address
    stranger.sendto(b"hello", address)
    assert select.select([ours], [], [], 5)[0]
    assert ours.recv(100) == b"hello"
    ours.close()


def test_what_is_no_socket_any_more_cannot_be_disconnected(udp: Opener) -> None:
    ours = udp()
    ours.close()
    with pytest.raises(OSError, match="descriptor") as failure:
        disconnect(ours)
    assert failure.value.errno == errno.EBADF


def test_the_buffer_has_a_view_of_each_length() -> None:
    scratch = Scratch()
    scratch.packet[:3] = b"abc"
    assert [bytes(scratch.views[length]) for length in range(4)] == [b"", b"a", b"ab", b"abc"]
    assert len(scratch.views[PACKET_BYTES]) == PACKET_BYTES
