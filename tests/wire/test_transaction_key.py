# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 3261 §17.1.3 and §17.2.3: which messages are of one transaction, and which are not."""

from __future__ import annotations

from typing import Any

import pytest

from dialin.wire.flow import Flow
from dialin.wire.return_path import mark_source
from dialin.wire.transaction_key import client_key, server_key, without_to_tag

from .sip_samples import BRANCH, ack, request, response

CHANGES: list[dict[str, Any]] = [
    {"branch": "z9hG4bK.6f2b"},
    {"sent_by": "192.0.2.1:5061"},
    {"sent_by": "192.0.2.2:5060"},
    {"call_id": "other@192.0.2.1"},
    {"from_": "<sip:caller@192.0.2.1>;tag=from2"},
    {"from_": "<sip:caller@192.0.2.1>"},
    {"cseq": 2},
    {"method": "OPTIONS"},
]
"""One identifier each that RFC 3261 or the rest of the transaction vouches for."""

LEGACY_CHANGES: list[dict[str, Any]] = [
    {"uri": "sip:other@198.51.100.7"},
    {"to": "<sip:bridge@198.51.100.7>;tag=to1"},
    {"via_params": ";x=1"},
    *(change for change in CHANGES if "branch" not in change),
]


class TestServer:
    def test_a_repeat_has_the_same_key(self) -> None:
        assert server_key(request()) == server_key(request())

    def test_a_repeat_may_differ_in_what_is_no_identifier(self) -> None:
        repeat = request(
            uri="sip:else@198.51.100.7",
            sent_by="192.0.2.1:5060",
            from_='"Other" <sip:other@192.0.2.1>;tag=from1',
            to="<sip:else@198.51.100.7>;tag=x",
        )
        assert server_key(repeat) == server_key(request())

    def test_a_host_name_compares_without_case(self) -> None:
        assert server_key(request(sent_by="SIP.Example")) == server_key(
            request(sent_by="sip.example")
        )

    @pytest.mark.parametrize("change", CHANGES, ids=str)
    def test_one_changed_identifier_is_another_transaction(self, change: dict[str, Any]) -> None:
        assert server_key(request(**change)) != server_key(request())

    def test_ack_and_cancel_lead_to_their_invite(self) -> None:
        invite = server_key(request())
        assert server_key(ack(request())).of_invite == invite
        assert server_key(request("CANCEL")).of_invite == invite
        assert server_key(request("CANCEL")) != invite

    def test_a_key_survives_what_the_receiver_writes_into_the_via(self) -> None:
        for branch in (BRANCH, "old", None):
            received = request(branch=branch, via_params=";rport")
            marked = mark_source(received, Flow("UDP", "203.0.113.9", 40_001))
            assert server_key(marked) == server_key(received)


@pytest.mark.parametrize("branch", [None, "1", "z9hG4b", "z9hG4bK"])
class TestServerOfAnRfc2543Peer:
    """A branch without the magic cookie, or with nothing behind it (RFC 4475 §3.2.1)."""

    def test_a_repeat_has_the_same_key(self, branch: str | None) -> None:
        assert server_key(request(branch=branch)) == server_key(request(branch=branch))

    @pytest.mark.parametrize("change", LEGACY_CHANGES, ids=str)
    def test_one_changed_identifier_is_another_transaction(
        self, branch: str | None, change: dict[str, Any]
    ) -> None:
        assert server_key(request(branch=branch, **change)) != server_key(request(branch=branch))

    def test_the_ack_bears_the_to_tag_that_the_invite_lacked(self, branch: str | None) -> None:
        invite = server_key(request(branch=branch))
        acknowledged = server_key(ack(request(branch=branch), branch=branch)).of_invite
        assert acknowledged != invite
        assert without_to_tag(acknowledged) == invite


def test_a_modern_key_has_no_to_tag_to_be_without() -> None:
    key = server_key(request())
    assert without_to_tag(key) is key


class TestClient:
    def test_a_response_has_the_key_of_its_request(self) -> None:
        for method in ("INVITE", "BYE"):
            sent = request(method)
            assert client_key(response(sent, 200)) == client_key(sent)

    @pytest.mark.parametrize("change", CHANGES, ids=str)
    def test_one_changed_identifier_is_another_transaction(self, change: dict[str, Any]) -> None:
        forged = response(request(**change), 200)
        assert client_key(forged) != client_key(request())

    def test_the_two_sides_never_meet(self) -> None:
        assert client_key(request()) != server_key(request())


def test_a_peer_without_a_from_tag_has_an_empty_one() -> None:
    assert server_key(request(from_="<sip:caller@192.0.2.1>")).from_tag == ""


def test_what_is_equal_in_copies_of_one_request() -> None:
    one, copy = (
        server_key(request()),
        server_key(request(branch="z9hG4bK.other", sent_by="p.example")),
    )
    assert one != copy
    assert one.request_id == copy.request_id
    assert one.request_id != server_key(request(cseq=2)).request_id


def test_no_repr_shows_an_identifier_that_a_peer_wrote() -> None:
    key = server_key(
        request(branch="CANARY", call_id="CANARY", uri="sip:CANARY@x", sent_by="CANARY.example")
    )
    assert repr(key) == "TransactionKey(side='server', method='INVITE')"
