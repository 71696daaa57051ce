# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that are refused unseen (RFC 3261 §8.2.1-8.2.3)."""

from __future__ import annotations

import pytest

from dialin.wire.message import Request, parse
from dialin.wire.screening import METHODS, Refusal, refusal
from tests.wire.peers import OFFER, Caller, Lines

ALLOWED = ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO")


def screened(
    method: str, lines: Lines = (), body: bytes = b"", uri: str | None = None
) -> Refusal | None:
    """What becomes of a request."""
    message = parse(Caller().request(method, 1, lines, body, uri=uri))
    assert isinstance(message, Request)
    return refusal(message)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_that_is_announced_is_taken(method: str) -> None:
    assert screened(method) is None


@pytest.mark.parametrize(
    "method", ["REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER"]
)
def test_405_and_allow_for_methods_we_know_and_do_not_offer(method: str) -> None:
    assert screened(method) == Refusal(405, (ALLOWED,))


@pytest.mark.parametrize(
    "method", ["invite", "NEWMETHOD", "!interesting-Method0123456789_*+`.%indeed'~"]
)
def test_501_for_methods_nobody_knows(method: str) -> None:
    assert screened(method) == Refusal(501, (ALLOWED,))


@pytest.mark.parametrize("uri", ["sip:a@b", "sips:a@b", "SIP:a@b", "tel:+4930900"])
def test_sip_and_tel_uris_are_taken(uri: str) -> None:
    assert screened("INVITE", uri=uri) is None


@pytest.mark.parametrize("uri", ["http://b", "soap.beep://192.0.2.103:3002", "urn:x:y"])
def test_416_for_schemes_we_do_not_speak(uri: str) -> None:
    assert screened("OPTIONS", uri=uri) == Refusal(416)


def test_420_names_the_extensions_we_lack() -> None:
    lines = [("Require", "100rel, nothingSupportsThis"), ("Require", "path"), ("Require", "")]
    unsupported = ("Unsupported", "nothingSupportsThis, path")
    assert screened("INVITE", lines) == Refusal(420, (unsupported,))


def test_a_cancel_requires_nothing() -> None:
    assert screened("CANCEL", [("Require", "path")]) is None


def test_reliable_provisional_responses_may_be_required() -> None:
    assert screened("INVITE", [("Require", "100REL")], OFFER) is None


def test_extensions_that_are_only_supported_are_no_matter() -> None:
    lines = [("Supported", "100rel, path, replaces"), ("Session-Expires", "90"), ("Min-SE", "30")]
    assert screened("INVITE", lines, OFFER) is None


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("name", ["Supported", "Require"])
def test_422_names_the_shortest_session_interval(method: str, name: str) -> None:
    lines = [(name, "Timer"), ("Session-Expires", "89;refresher=uac")]
    assert screened(method, lines) == Refusal(422, (("Min-SE", "90"),))


def test_422_is_not_for_those_who_would_not_understand_it() -> None:
    assert screened("INVITE", [("Session-Expires", "30")]) is None


def test_422_is_for_requests_that_refresh() -> None:
    assert screened("OPTIONS", [("Supported", "timer"), ("Session-Expires", "30")]) is None


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_415_and_accept_for_a_body_that_is_not_sdp(method: str) -> None:
    accept = ("Accept", "application/sdp")
    assert screened(method, [("Content-Type", "text/plain")], b"hi") == Refusal(415, (accept,))


def test_415_and_accept_encoding_for_a_compressed_body() -> None:
    encoding = ("Accept-Encoding", "identity")
    lines = [("Content-Encoding", "gzip")]
    assert screened("INVITE", lines, OFFER) == Refusal(415, (encoding,))


def test_the_body_of_a_bye_is_not_looked_at() -> None:
    assert screened("BYE", [("Content-Type", "text/plain")], b"hi") is None


def test_406_when_the_answer_must_not_be_sdp() -> None:
    lines = [("Accept", "text/nobodyKnowsThis")]
    assert screened("INVITE", lines, OFFER) == Refusal(406, (("Accept", "application/sdp"),))


@pytest.mark.parametrize(
    "accept",
    ["application/sdp", "text/html, Application/SDP;level=1", "application/*", "*/*;q=0.1", ""],
)
def test_every_way_to_accept_sdp(accept: str) -> None:
    assert screened("INVITE", [("Accept", accept)], OFFER) is None
