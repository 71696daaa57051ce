# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted has bounds that no peer can move."""

from __future__ import annotations

from dialin.sip import SipCounters
from dialin.wire.message import Headers, Request, Response


def test_methods_of_a_peers_own_invention_share_one_count() -> None:
    counters = SipCounters()
    for method in ("INVITE", "REGISTER", "FOO1", "FOO2", "invite"):
        counters.received(Request(method, "sip:a@b", Headers()))
    assert counters.requests == {"INVITE": 1, "REGISTER": 1, "OTHER": 3}


def test_responses_are_counted_by_status() -> None:
    counters = SipCounters()
    counters.received(Response(200, "OK", Headers()))
    assert counters.responses == {200: 1}
