# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of our addresses faces which far end."""

from __future__ import annotations

import socket

import pytest

from dialin.errors import OperatorError
from dialin.sip.addresses import Listen, Routes, address_of, bound_socket, is_literal
from dialin.wire.agent_events import LocalAddress
from dialin.wire.flow import Flow
from tests.sipbench import needs_ipv6

LOOPBACK = Flow("UDP", "127.0.0.9", 5060)
ALL = Listen("UDP", "0.0.0.0", 5060)
ONE = Listen("UDP", "127.0.0.1", 5062)
OTHER = Listen("UDP", "127.0.0.2", 5064)
SIX = Listen("UDP", "::", 5060)
STREAM = Listen("TCP", "127.0.0.1", 5060)


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "2001:db8::1"])
def test_addresses_are_literal(host: str) -> None:
    assert is_literal(host)


@pytest.mark.parametrize("host", ["localhost", "192.0.2", "", "[::1]", "sip.example.net"])
def test_names_are_not(host: str) -> None:
    assert not is_literal(host)


@pytest.mark.parametrize(
    ("listening", "chosen"),
    [
        ([ALL], ALL),
        ([OTHER], OTHER),
        ([OTHER, ONE], ONE),  # the route to loopback leads from 127.0.0.1
        ([OTHER, ALL], ALL),
        ([ALL, ONE], ONE),
        ([OTHER, Listen("UDP", "127.0.0.3", 1)], OTHER),
        ([SIX, STREAM, ONE], ONE),
    ],
)
def test_a_flow_is_served_from_the_address_on_its_route(
    listening: list[Listen], chosen: Listen
) -> None:
    assert Routes().choose(listening, LOOPBACK) == chosen


@pytest.mark.parametrize("listening", [[], [STREAM], [SIX]])
def test_nothing_serves_another_transport_or_family(listening: list[Listen]) -> None:
    with pytest.raises(OperatorError, match="UDP"):
        Routes().choose(listening, LOOPBACK)


def test_a_far_end_is_told_the_address_on_its_route() -> None:
    routes = Routes()
    assert routes.reached_at(ALL, LOOPBACK) == LocalAddress("UDP", "127.0.0.1", 5060)
    assert routes.reached_at(OTHER, LOOPBACK) == LocalAddress("UDP", "127.0.0.2", 5064)


def test_the_routing_table_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = Routes()
    routes.reached_at(ALL, LOOPBACK)
    monkeypatch.setattr(socket, "socket", None)
    assert routes.reached_at(ALL, LOOPBACK).host == "127.0.0.1"


def test_where_no_route_leads_is_the_operators_to_mend() -> None:
    with pytest.raises(OperatorError, match=r"no route to 255\.255\.255\.255"):
        Routes().reached_at(ALL, Flow("UDP", "255.255.255.255", 5060))


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_a_bound_socket_says_where_it_is(transport: str) -> None:
    with bound_socket(Listen(transport, "127.0.0.1", 0)) as sock:
        found = address_of(sock, transport)
        assert (found.transport, found.host) == (transport, "127.0.0.1")
        assert found.port > 0
        assert str(found) == f"{transport} 127.0.0.1:{found.port}"
        assert sock.getblocking() is False


@needs_ipv6
def test_ipv6_and_ipv4_have_sockets_of_their_own() -> None:
    with bound_socket(Listen("UDP", "::", 0)) as six:
        port = six.getsockname()[1]
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with bound_socket(Listen("UDP", "0.0.0.0", port)) as four:
            assert four.getsockname()[1] == port
    assert str(Listen("UDP", "::", 5060)) == "UDP [::]:5060"


def test_a_udp_socket_asks_for_room_for_a_burst() -> None:
    with (
        bound_socket(Listen("UDP", "127.0.0.1", 0)) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain,
    ):
        room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert room > plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def test_an_address_of_somebody_else_cannot_be_had() -> None:
    with pytest.raises(OperatorError, match=r"TCP 192\.0\.2\.1:5060"):
        bound_socket(Listen("TCP", "192.0.2.1", 5060))
