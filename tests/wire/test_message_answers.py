# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers to requests, proper and refused ones (RFC 3261 §8.2.6): what is copied, what is added."""

from __future__ import annotations

import pytest

from dialin.wire.header import CSeq
from dialin.wire.message import REASONS, respond_to_malformed, response_to
from tests.wire.examples import INVITE_LINES, SDP, invite, message
from tests.wire.test_message import parse_request, refused


def test_a_response_copies_octet_for_octet() -> None:
    lines = (
        INVITE_LINES[0],
        'v: SIP / 2.0 / UDP  h;branch="z9hG4bK+%"  ,SIP/2.0/TCP g;x="a,b"',
        "Record-Route: <sip:p;lr;ftag=a+b%>,<sip:q;lr>",
        'F: "\\"x" <sip:a@x>;+sip.instance="<urn:uuid:1>";tag=a+b%2F',
        "To : Bell, Alexander < sip:b@x >",
        "i:1/2+3%@x",
        "CSeq:  0007   INVITE",
        "Timestamp: 54",
    )
    response = response_to(parse_request(message(*lines)), 180, to_tag="mine")
    assert response.headers.fields == (
        ("v", 'SIP / 2.0 / UDP  h;branch="z9hG4bK+%"  ,SIP/2.0/TCP g;x="a,b"'),
        ("Record-Route", "<sip:p;lr;ftag=a+b%>,<sip:q;lr>"),
        ("F", '"\\"x" <sip:a@x>;+sip.instance="<urn:uuid:1>";tag=a+b%2F'),
        ("To", "Bell, Alexander < sip:b@x >;tag=mine"),
        ("i", "1/2+3%@x"),
        ("CSeq", "0007   INVITE"),
    )
    assert response.to.tag == "mine"


def test_a_response_has_the_usual_reason_unless_another_is_given() -> None:
    request = parse_request(invite())
    assert response_to(request, 486, to_tag="x").reason == "Busy Here"
    assert response_to(request, 486, "No", to_tag="x").reason == "No"
    assert response_to(request, 299, to_tag="x").reason == ""
    assert all(100 <= status <= 699 and reason for status, reason in REASONS.items())


@pytest.mark.parametrize(
    ("status", "copied"), [(100, False), (101, True), (183, True), (200, True), (300, False)]
)
def test_record_route_is_copied_where_a_dialog_can_begin(status: int, copied: bool) -> None:
    response = response_to(parse_request(invite()), status, to_tag="x")
    assert ("Record-Route" in response.headers) is copied


@pytest.mark.parametrize(("status", "copied"), [(100, True), (180, False)])
def test_a_timestamp_is_copied_into_a_100(status: int, copied: bool) -> None:
    response = response_to(parse_request(invite(add=("Timestamp: 54",))), status, to_tag=None)
    assert ("Timestamp" in response.headers) is copied


def test_a_tag_is_added_only_where_there_is_none() -> None:
    request = parse_request(invite(without="To", add=("To: sip:b@x;user=phone",)))
    assert response_to(request, 200, to_tag="x").headers.get("To") == "sip:b@x;user=phone;tag=x"
    assert response_to(request, 100, to_tag=None).headers.get("To") == "sip:b@x;user=phone"
    tagged = parse_request(invite(without="To", add=("To: <sip:b@x>;TAG=theirs",)))
    assert response_to(tagged, 200, to_tag="x").headers.get("To") == "<sip:b@x>;TAG=theirs"


def test_own_headers_and_body_follow() -> None:
    response = response_to(
        parse_request(invite()),
        200,
        to_tag="x",
        headers=[("Contact", "<sip:us@h>"), ("Content-Type", "application/sdp")],
        body=SDP,
    )
    assert response.headers.fields[-2:] == (
        ("Contact", "<sip:us@h>"),
        ("Content-Type", "application/sdp"),
    )
    assert response.body == SDP


def test_a_refused_request_is_answered_with_what_could_be_read() -> None:
    answer = respond_to_malformed(refused(invite(without="Call-ID")), to_tag="x")
    assert answer is not None
    assert (answer.status, answer.reason) == (400, "Call-ID: missing")
    assert answer.to.tag == "x"
    assert [via.host for via in answer.vias] == ["192.0.2.66", "192.0.2.90"]
    assert answer.cseq == CSeq(1, "INVITE")


@pytest.mark.parametrize(
    ("line", "to_tag", "to"),
    [
        ('To: "Mr. J. User <sip:a@x>', "x", '"Mr. J. User <sip:a@x>'),
        ("To: <sip:a@x>;tag=1;tag=2", "x", "<sip:a@x>;tag=1;tag=2"),
        ("X: no To at all", "x", None),
    ],
)
def test_a_to_that_cannot_be_read_is_not_written_to(line: str, to_tag: str, to: str | None) -> None:
    answer = respond_to_malformed(refused(invite(without="To", add=(line,))), to_tag=to_tag)
    assert answer is not None
    assert answer.headers.get("To") == to


def test_a_stateless_answer_may_go_without_our_tag() -> None:
    answer = respond_to_malformed(refused(invite(without="Call-ID")))
    assert answer is not None
    assert answer.to.tag is None
