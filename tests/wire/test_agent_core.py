# SPDX-License-Identifier: GPL-3.0-or-later
"""Where requests in a dialog go, and how we name ourselves."""

from __future__ import annotations

import pytest

from dialin.wire.agent_core import AgentCore
from dialin.wire.agent_events import LocalAddress
from dialin.wire.flow import Flow
from dialin.wire.message import parse
from dialin.wire.timers import Timers
from dialin.wire.transaction import Deliver
from tests.wire.peers import Caller

PEER = Flow("UDP", "192.0.2.10", 5060, 3)
NEIGHBOUR = "192.0.2.11"


def core() -> AgentCore:
    """A core that may send to one neighbour of the peer."""
    return AgentCore(
        token=lambda bits: "f" * (bits // 4),
        user_agent="dialin",
        timers=Timers(),
        may_send_to=lambda host: host in {NEIGHBOUR, "2001:db8::11"},
    )


@pytest.mark.parametrize(
    ("next_hop", "flow"),
    [
        ("sip:192.0.2.10", Flow("UDP", "192.0.2.10", 5060, 3)),
        ("sip:a@192.0.2.10:5080", Flow("UDP", "192.0.2.10", 5080, 3)),
        ("sip:a@192.0.2.11:5080", Flow("UDP", "192.0.2.11", 5080)),
        ("sip:a@192.0.2.11", Flow("UDP", "192.0.2.11", 5060)),
    ],
)
def test_a_literal_address_that_we_would_listen_to_is_followed(next_hop: str, flow: Flow) -> None:
    assert core().way_to(next_hop, PEER) == flow


@pytest.mark.parametrize(
    "next_hop",
    [
        "sip:a@metadata.example.net",
        "sip:a@localhost:22",
        "sip:a@169.254.169.254:80",
        "sip:a@[2001:db8::11]:5060",
        "sip:a@0300.1",
        "tel:+4930900",
        "urn:x:y",
    ],
)
def test_names_strangers_and_other_schemes_mean_the_flow_that_we_have(next_hop: str) -> None:
    assert core().way_to(next_hop, PEER) == PEER


@pytest.mark.parametrize("transport", ["UDP", "udp", "tcp", "TLS", "ws"])
def test_a_contact_does_not_change_the_transport(transport: str) -> None:
    way = core().way_to(f"sip:a@192.0.2.10:5070;transport={transport}", PEER)
    assert way == Flow("UDP", "192.0.2.10", 5070, 3)


def test_a_connection_is_kept_whatever_port_the_contact_names() -> None:
    flow = Flow("TCP", "192.0.2.10", 40123, 9)
    assert core().way_to("sip:a@192.0.2.10;transport=tcp", flow) == Flow(
        "TCP", "192.0.2.10", 5060, 9
    )


def test_an_ipv6_address_is_known_however_it_is_spelled() -> None:
    flow = Flow("UDP", "2001:db8::10", 5060, 3)
    way = core().way_to("sip:a@[2001:DB8:0::0010]:5070", flow)
    assert way == Flow("UDP", "2001:db8::10", 5070, 3)


@pytest.mark.parametrize(
    ("local", "contact"),
    [
        (LocalAddress("UDP", "192.0.2.1", 5060), "<sip:dialin@192.0.2.1:5060>"),
        (LocalAddress("TCP", "192.0.2.1", 5062), "<sip:dialin@192.0.2.1:5062;transport=tcp>"),
        (LocalAddress("TLS", "192.0.2.1", 5061), "<sip:dialin@192.0.2.1:5061;transport=tls>"),
        (LocalAddress("UDP", "2001:db8::1", 5060), "<sip:dialin@[2001:db8::1]:5060>"),
        (
            LocalAddress("UDP", "192.0.2.1", 5060, public="203.0.113.9"),
            "<sip:dialin@203.0.113.9:5060>",
        ),
    ],
)
def test_our_contact_says_where_we_listen(local: LocalAddress, contact: str) -> None:
    assert dict(core().about_us(local))["Contact"] == contact


def test_each_via_has_a_branch_of_its_own_and_asks_for_the_port() -> None:
    hidden = core().via(LocalAddress("UDP", "192.0.2.1", 5060, public="2001:db8::9"))
    assert (hidden.host, hidden.port) == ("2001:db8::9", 5060)
    via = core().via(LocalAddress("UDP", "192.0.2.1", 5060))
    assert str(via) == f"SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK{'f' * 32}"


def test_what_is_delivered_is_left_to_the_agent() -> None:
    message = parse(Caller().request("OPTIONS"))
    shared = core()
    shared.perform([Deliver(message, PEER, None)], 0.0)
    assert shared.take_outputs() == []


def test_retry_after_is_0_to_10_seconds() -> None:
    name, value = core().retry_after()
    assert name == "Retry-After"
    assert 0 <= int(value) <= 10


def test_who_asks_for_sips_gets_a_sips_contact() -> None:
    contact = core().about_us(LocalAddress("TLS", "192.0.2.1", 5061), is_sips=True)[0]
    assert contact == ("Contact", "<sips:dialin@192.0.2.1:5061>")
