# SPDX-License-Identifier: GPL-3.0-or-later
"""The torture messages of RFC 4475 and RFC 5118, each with its verdict.

Eight messages may go either way; ours is in DECISIONS, with the reason beside it, and explained
for readers in docs/torture.md. The messages themselves are not part of this repository.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from dialin.wire.header import Address
from dialin.wire.message import (
    MalformedMessage,
    Request,
    Response,
    parse,
    respond_to_malformed,
    response_to,
)
from dialin.wire.uri import SipUri, parse_uri

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = ROOT.parent / "shared" / "data" / "sip-torture"

pytestmark = pytest.mark.skipif(
    not MESSAGES.is_dir(), reason="needs the torture messages in ../shared/data/sip-torture"
)


@dataclass(frozen=True)
class Decision:
    """What we do with a message that may be accepted or refused."""

    accept: bool
    """Whether `parse` accepts it."""
    reason: str
    """Why."""


DECISIONS: Final = {
    "badaspec": Decision(
        accept=True,
        reason="blanks inside < > leave no doubt about the URI, and To is echoed as it came",
    ),
    "baddate": Decision(
        accept=True,
        reason="nothing here reads Date, so a clock that says EST costs nobody a call",
    ),
    "baddn": Decision(
        accept=True,
        reason="From and To hold one address, so a comma in an unquoted name parts nothing",
    ),
    "escruri": Decision(
        accept=False,
        reason="a Route hidden in the request-URI tells us where to send: not for a peer to say",
    ),
    "lwsruri": Decision(
        accept=False,
        reason="a blank ends the request-URI, so two readers would find two different targets",
    ),
    "lwsstart": Decision(
        accept=False,
        reason="two blanks in a row enclose an empty part, so readers may differ on who is called",
    ),
    "regbadct": Decision(
        accept=False,
        reason="without < > nobody knows whether '?' begins URI headers or belongs to the header",
    ),
    "trws": Decision(
        accept=True,
        reason="blanks at the end of a line mean nothing, in headers as in the start line",
    ),
}


def load(name: str) -> bytes:
    return (MESSAGES / f"{name}.dat").read_bytes()


def names(folder: str) -> list[str]:
    return sorted(path.stem for path in (MESSAGES / folder).glob("*.dat"))


EXPECTED: Final = (
    json.loads((MESSAGES / "expectations.json").read_text())["rfc4475"] if MESSAGES.is_dir() else {}
)
ACCEPTED = [name for name, case in EXPECTED.items() if case["parse"] == "accept"]
REFUSED = [name for name, case in EXPECTED.items() if case["parse"] == "reject"]
OPEN = [name for name, case in EXPECTED.items() if case["parse"] == "either"]


def use_every_accessor(message: Request | Response) -> None:
    """What the layers above read of every message; none of it may raise."""
    _ = message.via, message.vias, message.from_, message.to, message.call_id, message.cseq
    _ = message.contacts, message.content_type, repr(message)
    if isinstance(message, Request):
        _ = message.max_forwards, parse_uri(message.uri)
        response_to(message, 200, to_tag="x")


def accept(data: bytes) -> Request | Response:
    """Parse, read everything, and write what reads back as the same message."""
    message = parse(data)
    use_every_accessor(message)
    assert parse(bytes(message)) == message
    return message


def refuse(data: bytes) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        parse(data)
    return caught.value


def test_the_collection_is_complete() -> None:
    assert (len(ACCEPTED), len(REFUSED), len(OPEN)) == (26, 15, 8)
    assert names("rfc4475") == sorted(EXPECTED)
    assert len(names("rfc5118")) == 12
    assert sorted(DECISIONS) == sorted(OPEN)


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_valid_message_is_accepted(name: str) -> None:
    message = accept(load(f"rfc4475/{name}"))
    assert isinstance(message, Request) is (EXPECTED[name]["kind"] == "request")


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_message_is_refused_with_the_right_status(name: str) -> None:
    error = refuse(load(f"rfc4475/{name}"))
    answer = respond_to_malformed(error, to_tag="x")
    if EXPECTED[name]["answer"] == "none":
        assert error.status is None
        assert answer is None
    else:
        assert error.status in EXPECTED[name]["answer"]
        assert answer is not None
        assert bytes(answer).startswith(f"SIP/2.0 {error.status} ".encode())
        assert b"\r\nVia: SIP/" in bytes(answer)


@pytest.mark.parametrize("name", OPEN)
def test_an_open_case_is_decided(name: str) -> None:
    if DECISIONS[name].accept:
        accept(load(f"rfc4475/{name}"))
    else:
        assert refuse(load(f"rfc4475/{name}")).status in EXPECTED[name]["answer"]


def test_the_decisions_are_explained_to_readers() -> None:
    page = (ROOT / "docs" / "torture.md").read_text()
    for name, decision in DECISIONS.items():
        verdict = "accepted" if decision.accept else "refused"
        assert re.search(rf"\| `{name}` \| {verdict} \| .*{re.escape(decision.reason)}", page), name


@pytest.mark.parametrize("name", names("rfc5118"))
def test_an_ipv6_message(name: str) -> None:
    data = load(f"rfc5118/{name}")
    if name in ("ipv4-mapped-ipv6", "ipv6-in-sdp", "mult-ip-in-sdp"):
        # Content-Length in the files is below the body's length; the messages are fine otherwise.
        body = data.partition(b"\r\n\r\n")[2]
        data = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), data)
        assert accept(data).body == body
    elif name == "ipv6-bad":
        assert refuse(data).status == 400
    else:
        accept(data)


# --- What the messages are about, beyond being accepted ----------------------------------------


def accepted(name: str) -> Request:
    message = accept(load(name))
    assert isinstance(message, Request)
    return message


def test_wsinv_is_read_through_all_its_blanks_and_folds() -> None:
    request = accepted("rfc4475/wsinv")
    assert request.to.tag == "1918181833n"
    assert request.from_.display == 'J Rosenberg \\"'
    assert request.from_.tag == "98asjd8"
    assert request.max_forwards == 68
    assert (request.cseq.number, request.cseq.method) == (9, "INVITE")
    assert [via.host for via in request.vias] == [
        "192.0.2.2",
        "spindle.example.com",
        "192.168.255.111",
    ]
    assert [via.branch for via in request.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert request.contacts[0].display == 'Quoted string ""'
    assert request.contacts[0].params.get("newparam") == "newvalue"
    assert request.headers.get("NewFangledHeader") == (
        "newfangled value continued newfangled value"
    )
    assert request.headers.get("Subject") == ""


def test_intmeth_keeps_each_odd_octet() -> None:
    request = accepted("rfc4475/intmeth")
    assert request.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert request.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert request.from_.display == "token1~` token2'+_ token3*%!.-"
    assert request.from_.params.get("fromParam''~+*_!.-%") == "работающий"
    assert request.from_.tag == "_token~1'+`*%!-."
    assert request.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"
    uri = parse_uri(request.uri)
    assert isinstance(uri, SipUri)
    assert uri.host == "example.com"


def test_dblreq_ends_where_its_content_length_says() -> None:
    request = accepted("rfc4475/dblreq")
    assert (request.method, request.body) == ("REGISTER", b"")


def test_semiuri_has_its_parameter_in_the_user_part() -> None:
    uri = parse_uri(accepted("rfc4475/semiuri").uri)
    assert isinstance(uri, SipUri)
    assert uri.user_text == "user;par=u@example.net"


def test_cparam_tells_header_parameters_from_uri_parameters() -> None:
    outside = accepted("rfc4475/cparam01").contacts[0]
    inside = accepted("rfc4475/cparam02").contacts[0]
    assert outside.params.has("unknownparam")
    assert not inside.params.has("unknownparam")
    assert isinstance(inside.uri, SipUri)
    assert inside.uri.params.has("unknownparam")


def test_esc02_does_not_unescape_names() -> None:
    request = accepted("rfc4475/esc02")
    assert request.method == "RE%47IST%45R"
    assert len(request.contacts) == 2
    assert "C%6Fntact" in request.headers
    assert request.to.display == "%Z%45"


def test_longreq_keeps_its_34_vias_in_order() -> None:
    hosts = [via.host for via in accepted("rfc4475/longreq").vias]
    assert hosts == [*(f"sip{n}.example.com" for n in range(33, 0, -1)), "host.example.com"]


def test_mpart01_keeps_its_binary_body() -> None:
    request = accepted("rfc4475/mpart01")
    assert request.content_type == "multipart/mixed"
    assert len(request.body) == 553


def test_badbranch_and_inv2543_leave_the_transaction_to_the_old_rules() -> None:
    assert accepted("rfc4475/badbranch").via.branch == "z9hG4bK"
    assert accepted("rfc4475/inv2543").via.branch is None


def test_received_is_the_same_address_with_and_without_brackets() -> None:
    for name in ("via-received-param-no-delim", "via-received-param-with-delim"):
        assert accepted(f"rfc5118/{name}").via.received == "2001:db8::9:255"


def test_in_port_ambiguous_the_whole_bracket_is_the_address() -> None:
    uri = parse_uri(accepted("rfc5118/port-ambiguous").uri)
    assert isinstance(uri, SipUri)
    assert (uri.host, uri.port) == ("2001:db8::10:5070", None)
    uri = parse_uri(accepted("rfc5118/port-unambiguous").uri)
    assert isinstance(uri, SipUri)
    assert (uri.host, uri.port) == ("2001:db8::10", 5070)


def test_badaspec_names_the_uri_without_its_blanks() -> None:
    assert accepted("rfc4475/badaspec").to == Address("Watson, Thomas", "sip:t.watson@example.org")
