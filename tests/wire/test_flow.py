# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths: which are reliable, which are the same, and how they are written."""

from __future__ import annotations

import pytest

from dialin.wire.flow import Flow


@pytest.mark.parametrize(
    ("transport", "is_reliable"), [("UDP", False), ("TCP", True), ("TLS", True)]
)
def test_only_streams_repeat_what_is_lost(transport: str, is_reliable: bool) -> None:
    assert Flow(transport, "192.0.2.1", 5060).is_reliable is is_reliable


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (Flow("TCP", "192.0.2.1", 5060, 3), Flow("TCP", "192.0.2.1", 5060, 3), True),
        (Flow("TCP", "192.0.2.1", 5060, 0), Flow("TCP", "192.0.2.1", 5060, 3), True),
        (Flow("TCP", "192.0.2.1", 5060, 3), Flow("TCP", "192.0.2.1", 5060, 4), False),
        (Flow("TCP", "192.0.2.1", 5060), Flow("TLS", "192.0.2.1", 5060), False),
        (Flow("UDP", "192.0.2.1", 5060), Flow("UDP", "192.0.2.2", 5060), False),
        (Flow("UDP", "192.0.2.1", 5060), Flow("UDP", "192.0.2.1", 5061), False),
    ],
)
def test_connection_zero_is_any_connection(one: Flow, other: Flow, is_same: bool) -> None:
    assert one.includes(other) is is_same
    assert other.includes(one) is is_same


def test_a_flow_is_written_as_transport_address_and_port() -> None:
    assert str(Flow("UDP", "192.0.2.1", 5060)) == "UDP 192.0.2.1:5060"
    assert str(Flow("TLS", "2001:db8::1", 5061, 9)) == "TLS [2001:db8::1]:5061"
