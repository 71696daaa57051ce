# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 3261 §18.2 and RFC 3581: what goes into the topmost Via, and where responses go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dialin.wire.agent_events import LocalAddress
from dialin.wire.flow import Flow
from dialin.wire.message import Response
from dialin.wire.return_path import mark_source, return_flow, seen_as

from .sip_samples import TCP, UDP, request

NAT = Flow("UDP", "203.0.113.9", 40_001)


def top_via(via_params: str, flow: Flow, sent_by: str = "192.0.2.1:5060") -> str:
    marked = mark_source(request(via_params=via_params, sent_by=sent_by), flow)
    return marked.headers.all("Via")[0]


class TestReceived:
    def test_a_true_sent_by_is_left_as_it_came(self) -> None:
        received = request()
        assert mark_source(received, UDP) is received

    def test_another_source_address_is_written_down(self) -> None:
        marked = mark_source(request(), NAT)
        assert marked.via.received == "203.0.113.9"
        assert marked.via.rport is None

    def test_a_name_gets_the_address_it_came_from(self) -> None:
        via = mark_source(request(sent_by="sip.example.org"), UDP).via
        assert (via.host, via.received) == ("sip.example.org", "192.0.2.1")

    def test_rport_asks_for_port_and_address_even_where_the_address_is_right(self) -> None:
        assert (
            top_via(";rport", UDP)
            == "SIP/2.0/UDP 192.0.2.1:5060;rport=5060;branch=z9hG4bK.6f2a;received=192.0.2.1"
        )

    def test_what_the_sender_claims_is_replaced_by_what_is_true(self) -> None:
        via = mark_source(request(via_params=";received=198.51.100.66;rport=9"), NAT).via
        assert (via.received, via.rport) == ("203.0.113.9", 40_001)

    def test_an_ipv6_source_is_written_without_brackets(self) -> None:
        flow = Flow("UDP", "2001:db8::9", 5060)
        assert mark_source(request(), flow).via.received == "2001:db8::9"

    def test_odd_spacing_and_quotes_are_echoed_octet_for_octet(self) -> None:
        odd = 'SIP / 2.0 /udp  192.0.2.1 : 5060 ; Rport ;a="b;rport" ;branch = z9hG4bKx'
        received = replace(
            request(),
            headers=request().headers.set("Via", f"{odd} ,SIP/2.0/TCP 192.0.2.3;branch=z"),
        )
        assert mark_source(received, NAT).headers.all("Via") == (
            'SIP / 2.0 /udp  192.0.2.1 : 5060 ;Rport=40001;a="b;rport" ;branch = z9hG4bKx'
            ";received=203.0.113.9 ,SIP/2.0/TCP 192.0.2.3;branch=z",
        )

    def test_everything_else_is_echoed_verbatim(self) -> None:
        received = request(
            branch='z9hG4bK+a%2Fb,SIP/2.0/UDP 198.51.100.2;branch=z9hG4bK2;X="a, b"',
            extra=("v: SIP/2.0/TCP 198.51.100.3 ;branch=z9hG4bK3",),
        )
        marked = mark_source(received, NAT)
        assert marked.headers.all("Via") == (
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK+a%2Fb;received=203.0.113.9,"
            'SIP/2.0/UDP 198.51.100.2;branch=z9hG4bK2;X="a, b"',
            "SIP/2.0/TCP 198.51.100.3 ;branch=z9hG4bK3",
        )
        assert marked.headers.without("Via") == received.headers.without("Via")


class TestTheWayBack:
    @pytest.mark.parametrize(
        ("sent_by", "via_params", "port"),
        [
            ("192.0.2.1:5080", "", 5080),
            ("192.0.2.1", "", 5060),
            ("192.0.2.1:5080", ";rport", 40_001),
            ("192.0.2.1:5080", ";rport=7", 40_001),
        ],
    )
    def test_over_udp_rport_decides_between_source_port_and_sent_by(
        self, sent_by: str, via_params: str, port: int
    ) -> None:
        flow = return_flow(request(sent_by=sent_by, via_params=via_params), NAT)
        assert flow == Flow("UDP", "203.0.113.9", port)

    def test_no_via_can_point_a_response_at_a_third_party(self) -> None:
        hostile = request(
            sent_by="victim.example:5060", via_params=";received=198.51.100.66;maddr=198.51.100.67"
        )
        assert return_flow(hostile, NAT).host == "203.0.113.9"

    def test_a_stream_answers_by_its_own_connection(self) -> None:
        assert return_flow(request(sent_by="192.0.2.99:9"), TCP) is TCP


class TestWhereWeAreSeen:
    @pytest.mark.parametrize(
        ("via", "seen"),
        [
            ("192.0.2.1:5060;received=203.0.113.9;rport=40001", ("203.0.113.9", 40_001)),
            ("192.0.2.1:5062;received=203.0.113.9", ("203.0.113.9", 5062)),
            ("192.0.2.1;received=203.0.113.9", ("203.0.113.9", 5060)),
            ("192.0.2.1:5060;rport=40001", ("192.0.2.1", 40_001)),
            ("192.0.2.1:5060;received=[2001:db8::1]", ("2001:db8::1", 5060)),
            ("192.0.2.1:5060;rport", None),
            ("192.0.2.1:5060", None),
            ("192.0.2.1:5060;received=evil.example", None),
            ("h.example:5060;rport=9", None),
        ],
    )
    def test_what_a_server_writes_into_our_via(
        self, via: str, seen: tuple[str, int] | None
    ) -> None:
        asked = request()
        headers = asked.headers.set("Via", f"SIP/2.0/UDP {via};branch=z9hG4bKx")
        assert seen_as(Response(200, "OK", headers)) == seen

    def test_an_unknown_transport_without_a_port_tells_nothing(self) -> None:
        headers = request().headers.set("Via", "SIP/2.0/SCTP 192.0.2.1;received=192.0.2.9")
        assert seen_as(Response(200, "OK", headers)) is None


class TestWhatFarEndsAreTold:
    def test_what_the_operator_says_comes_before_what_the_far_end_sees(self) -> None:
        local = LocalAddress("UDP", "10.0.0.5", 5060)
        assert local.host_port == "10.0.0.5:5060"
        seen = replace(local, seen_as=("2001:db8::9", 40_001))
        assert (seen.host_port, seen.told) == ("[2001:db8::9]:40001", "10.0.0.5")
        assert replace(seen, public="198.51.100.7").host_port == "198.51.100.7:5060"
