# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose turn it is among a provider's servers."""

from __future__ import annotations

from dialin.registration.servers import Servers
from dialin.wire.flow import Flow

A, B, C = (Flow("UDP", f"192.0.2.{last}", 5060) for last in (1, 2, 3))


def test_nobody_has_a_turn_while_nobody_is_known() -> None:
    servers = Servers()
    assert servers.current is None
    assert not servers.has_others


def test_all_servers_have_their_turn_once_a_round() -> None:
    servers = Servers()
    servers.update((A, B, C))
    turns = []
    for _ in range(7):
        turns.append((servers.current, servers.has_others))
        servers.move_on()
    round_ = [(A, True), (B, True), (C, False)]
    assert turns == [*round_, *round_, (A, True)]


def test_a_round_may_begin_anywhere() -> None:
    servers = Servers()
    servers.update((A, B, C))
    servers.move_on()
    servers.keep()
    turns = []
    for _ in range(3):
        turns.append((servers.current, servers.has_others))
        servers.move_on()
    assert turns == [(B, True), (C, True), (A, False)]


def test_a_server_that_is_still_named_keeps_its_turn() -> None:
    servers = Servers()
    assert not servers.update((A, B))
    servers.move_on()
    assert not servers.update((C, B, A))
    assert servers.current == B


def test_a_server_that_is_no_longer_named_loses_its_turn() -> None:
    servers = Servers()
    servers.update((A, B))
    assert servers.update((C, B))
    assert servers.current == C


def test_a_server_that_gives_a_sign_of_life_has_its_turn() -> None:
    servers = Servers()
    servers.update((A, B, C))
    servers.move_on()
    servers.choose(C)
    assert (servers.current, servers.has_others) == (C, True)
