# SPDX-License-Identifier: GPL-3.0-or-later
"""What real trunks' messages look like: each habit is a call over a real UDP socket.

Every INVITE here has broken some stack. It has to become one call with the right offer, its
identifiers have to come back octet for octet, and the call has to be ended by a BYE that finds the
caller. Who the caller is, and what the offer means, is tested where that is decided: `test_trunk`
and `wire/test_sdp`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from dialin.sip import IncomingLeg, LegEnd, Refused
from dialin.wire.flow import Flow
from dialin.wire.message import Headers, Response, parse
from tests.fakes.sip_peers import UdpPeer
from tests.sipbench import UDP6, Bench, needs_ipv6, opened
from tests.wire.peers import ANSWER, answer_to

SDP = (
    b"v=0\r\n"
    b"o=gw 4711 4711 IN IP4 198.51.100.7\r\n"
    b"s=-\r\n"
    b"c=IN IP4 198.51.100.7\r\n"
    b"t=0 0\r\n"
    b"m=audio 30000 RTP/AVP 8 0 101\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
)

INVITE = {
    "Via": "Via: SIP/2.0/UDP {peer};branch=z9hG4bK776asdhds;rport",
    "Max-Forwards": "Max-Forwards: 69",
    "From": 'From: "Ada" <sip:+493012345678@trunk.example.net>;tag=1928301774',
    "To": "To: <sip:+4930900123@dialin.example.org>",
    "Call-ID": "Call-ID: a84b4c76e66710@trunk.example.net",
    "CSeq": "CSeq: 314159 INVITE",
    "Contact": "Contact: <sip:gw@{peer}>",
    "Content-Type": "Content-Type: application/sdp",
}
ECHOED = ("From", "Call-ID", "CSeq", "Record-Route")


def invite(
    peer: UdpPeer, *lines: str, body: bytes = SDP, changed: Mapping[str, str] | None = None
) -> bytes:
    """An INVITE with some lines written otherwise, and some more."""
    wanted = INVITE | dict(changed or {})
    head = "\r\n".join(
        [
            "INVITE sip:+4930900123@dialin.example.org SIP/2.0",
            *(line for line in wanted.values() if line),
            *lines,
            f"Content-Length: {len(body)}",
        ]
    )
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    text = head.replace("{peer}", f"{host}:{peer.port}")
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def read_response(data: bytes) -> Response:
    """Read a response without our parser, which takes none that others have to pass on."""
    head, _, body = data.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    fields = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    return Response(int(status_line.split()[1]), "", Headers(fields), body)


def in_dialog(method: str, ok: Response, peer: UdpPeer, cseq: int) -> bytes:
    """The caller's next request, its identifiers copied from the 200."""
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    lines = [
        f"{method} {ok.contacts[0].uri_text} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:{peer.port};branch=z9hG4bK{method}",
        f"From: {ok.headers.get('From')}",
        f"To: {ok.headers.get('To')}",
        f"Call-ID: {ok.call_id}",
        f"CSeq: {cseq} {method}",
        "Content-Length: 0",
    ]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"


async def whole_call(
    bench: Bench, peer: UdpPeer, data: bytes, offer: bytes | None = SDP
) -> tuple[IncomingLeg, Response]:
    """Place the call, take it, hang up; everything has to be as it should."""
    peer.send(data, bench.address())
    leg = await bench.call()
    assert leg.offer == offer
    answering = asyncio.create_task(leg.answer(ANSWER))
    ok = read_response(await peer.octets())
    sent = parse(data)
    for name in ECHOED:
        assert ok.headers.all(name) == sent.headers.all(name)
    assert ok.headers.all("To")[0].startswith(f"{sent.headers.all('To')[0]};tag=")
    assert len(ok.vias) == len(sent.vias)
    peer.send(in_dialog("ACK", ok, peer, sent.cseq.number), bench.address())
    await answering
    assert bench.calls.empty()
    leg.hang_up()
    bye = await peer.request()
    assert bye.method == "BYE"
    assert (bye.headers.get("From"), bye.headers.get("To")) == (
        ok.headers.get("To"),
        ok.headers.get("From"),
    )
    peer.send(answer_to(bye, 200, tag=None), bench.address())
    await bench.until(lambda: bench.sip.legs == 0)
    assert leg.ended.result() == LegEnd("us", None, "bye")
    return leg, ok


# How headers are written


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(
            {
                "Via": "v: SIP/2.0/UDP {peer};branch=z9hG4bK1;rport",
                "From": "f: <sip:+493012345678@trunk.example.net>;tag=1",
                "To": "t: <sip:+4930900123@dialin.example.org>",
                "Call-ID": "i: compact",
                "Contact": "m: <sip:gw@{peer}>",
                "Content-Type": "c: application/sdp",
            },
            id="compact",
        ),
        pytest.param(
            {
                "From": 'From: "Ada"\r\n <sip:+493012345678@trunk.example.net>\r\n\t;tag=1',
                "Via": "Via:\r\n SIP/2.0/UDP {peer}\r\n ;branch=z9hG4bK1;rport",
            },
            id="folded",
        ),
        pytest.param(
            {
                "Via": "via: SIP/2.0/UDP {peer};branch=z9hG4bK1;rport",
                "From": "from: <sip:+493012345678@trunk.example.net>;tag=1",
                "Call-ID": "call-id: lower",
                "CSeq": "cseq: 2 INVITE",
                "Content-Type": "content-type: application/sdp",
            },
            id="lower-case",
        ),
        pytest.param(
            {
                "Via": "Via:SIP/2.0/UDP {peer};branch=z9hG4bK1;rport",
                "From": "From:<sip:+493012345678@trunk.example.net>;tag=1",
                "CSeq": "CSeq:2 INVITE",
            },
            id="no-space-after-the-colon",
        ),
        pytest.param(
            {
                "Via": "Via : SIP/2.0/UDP {peer};branch=z9hG4bK1;rport",
                "From": "From \t: <sip:+493012345678@trunk.example.net>;tag=1",
                "Call-ID": "Call-ID  : spaced",
            },
            id="spaces-before-the-colon",
        ),
    ],
)
async def test_headers_are_written_in_many_ways(changed: dict[str, str]) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            await whole_call(bench, peer, invite(peer, changed=changed))


async def test_empty_headers() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            lines = ("Supported:", "Require: ", "Subject:", "Accept:", "P-Asserted-Identity:")
            await whole_call(bench, peer, invite(peer, *lines))


async def test_header_values_over_8_kib() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            identity = f"Identity: {'eyJhbGciOiJFUzI1NiIs' * 500};info=<https://c.example.net/x>"
            diversion = f"Diversion: <sip:+49301@x.example.net>;reason={'a' * 8300}"
            data = invite(peer, identity, diversion)
            leg, _ = await whole_call(bench, peer, data)
            assert len(leg.request.headers.get("Identity") or "") > 8192


async def test_several_vias_in_one_line() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            via = (
                "Via: SIP/2.0/UDP {peer};branch=z9hG4bK1;rport,"
                " SIP/2.0/TCP 198.51.100.7:5060;branch=z9hG4bK2 ,SIP/2.0/UDP gw.example.net"
            )
            _, ok = await whole_call(bench, peer, invite(peer, changed={"Via": via}))
            assert [via.host for via in ok.vias] == ["127.0.0.1", "198.51.100.7", "gw.example.net"]


@needs_ipv6
@pytest.mark.parametrize("received", ["2001:db8::9", "[2001:db8::9]"])
async def test_ipv6_in_via_with_and_without_brackets_in_received(received: str) -> None:
    async with opened(UDP6) as bench:
        with UdpPeer("::1") as peer:
            second = f"Via: SIP/2.0/UDP [2001:db8::9]:5060;received={received};branch=z9hG4bK2"
            _, ok = await whole_call(bench, peer, invite(peer, second))
            assert ok.headers.all("Via")[1] == second.removeprefix("Via: ")


# Who calls


@pytest.mark.parametrize(
    "from_",
    [
        pytest.param("tel:+493012345678;tag=1", id="tel-without-brackets"),
        pytest.param("<tel:+49-30-12345678>;tag=1", id="tel"),
        pytest.param("<sips:+493012345678@trunk.example.net>;tag=1", id="sips"),
        pytest.param(
            "<sip:+493012345678;phone-context=+49@trunk.example.net>;tag=1", id="user-with-params"
        ),
        pytest.param("<SIP:+493012345678@TRUNK.EXAMPLE.NET>;tag=1", id="capitals"),
        pytest.param('"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1', id="anonymous"),
        pytest.param(
            "<sip:+493012345678@trunk.example.net>;tag=1;verstat=TN-Validation-Passed",
            id="verstat-after-the-tag",
        ),
        pytest.param("<sip:+493012345678@trunk.example.net>;tag=1", id="no-display-name"),
        pytest.param('"Jürgen Müller ☎" <sip:+493012345678@trunk.example.net>;tag=1', id="utf-8"),
        pytest.param(
            '"M\udcfcller" <sip:+493012345678@trunk.example.net>;tag=1', id="latin-1-octets"
        ),
        pytest.param(
            '"<sip:+491111@evil.example.net>;tag=9" <sip:+493012345678@trunk.example.net>;tag=1',
            id="spoof-in-the-quoted-name",
        ),
        pytest.param("sip:+493012345678@trunk.example.net;tag=1", id="no-brackets"),
    ],
)
async def test_from_is_written_in_many_ways(from_: str) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg, _ = await whole_call(bench, peer, invite(peer, changed={"From": f"From: {from_}"}))
            assert leg.request.from_.tag == "1"
            assert "evil" not in leg.request.from_.uri_text


@pytest.mark.parametrize("name", ["P-Asserted-Identity", "Contact"])
async def test_two_quoted_addresses_in_one_header(name: str) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            value = '"A, B" <sip:gw@{peer}>, "C" <sip:+49309876543@trunk.example.net>'
            changed = {name: f"{name}: {value}"}
            leg, _ = await whole_call(bench, peer, invite(peer, changed=changed))
            values = leg.request.headers.values(name)
            assert [value.split(" <")[0] for value in values] == ['"A, B"', '"C"']


# What it offers


async def test_no_sdp_asks_for_our_offer() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            await whole_call(
                bench, peer, invite(peer, body=b"", changed={"Content-Type": ""}), offer=None
            )


@pytest.mark.parametrize(
    "kind",
    ["Application/SDP", "application/sdp;charset=utf-8", "application/sdp ; charset=utf-8"],
)
async def test_the_type_of_sdp_is_written_in_many_ways(kind: str) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            await whole_call(
                bench, peer, invite(peer, changed={"Content-Type": f"Content-Type: {kind}"})
            )


async def test_sdp_comes_beside_isup_in_a_multipart_body() -> None:
    body = (
        b"--unique-boundary-1\r\n"
        b"Content-Type: application/sdp\r\n\r\n" + SDP + b"\r\n--unique-boundary-1\r\n"
        b"Content-Type: application/isup;version=itu-t92+\r\n"
        b"Content-Disposition: signal;handling=optional\r\n\r\n"
        b"\x01\x00\x49\x00\x00\x03\x02\x00\x07\r\n--unique-boundary-1--\r\n"
    )
    async with opened() as bench:
        with UdpPeer() as peer:
            kind = "Content-Type: multipart/mixed;boundary=unique-boundary-1"
            await whole_call(bench, peer, invite(peer, body=body, changed={"Content-Type": kind}))


AUDIO = b"m=audio 30000 RTP/AVP 8 0 101\r\n"


@pytest.mark.parametrize(
    "sdp",
    [
        pytest.param(SDP + b"\r\n", id="a-blank-line-at-the-end"),
        pytest.param(SDP.replace(b"\r\n", b"\n"), id="line-feeds-only"),
        pytest.param(SDP + b"m=video 30002 RTP/AVP 31\r\n", id="audio-and-video"),
        pytest.param(SDP + b"m=image 30004 udptl t38\r\na=T38FaxVersion:0\r\n", id="t38"),
        pytest.param(SDP + b"c=IN IP4 198.51.100.8\r\n", id="two-c-lines"),
        pytest.param(SDP.replace(b"RTP/AVP", b"RTP/AVPF"), id="avpf"),
        pytest.param(
            SDP.replace(b"RTP/AVP", b"RTP/SAVP")
            + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"
            + b"A" * 40
            + b"\r\n",
            id="savp-with-crypto",
        ),
        pytest.param(
            SDP + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"A" * 40 + b"\r\n",
            id="crypto-in-avp",
        ),
        pytest.param(SDP.replace(AUDIO, b"m=audio 30000 RTP/AVP 18\r\n"), id="g729-only"),
        pytest.param(
            SDP.replace(AUDIO, b"m=audio 30000 RTP/AVP 96\r\na=rtpmap:96 PCMA/8000\r\n"),
            id="a-dynamic-type-for-a-known-codec",
        ),
    ],
)
async def test_the_offer_reaches_the_call_octet_for_octet(sdp: bytes) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            await whole_call(bench, peer, invite(peer, body=sdp), offer=sdp)


# What it supports and requires


@pytest.mark.parametrize(
    "line",
    [
        "Supported: 100rel, timer, replaces, path, histinfo, norefersub",
        "k: 100rel,timer",
        "Require: 100rel",
    ],
)
async def test_100rel_and_timer_are_not_needed(line: str) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            _, ok = await whole_call(bench, peer, invite(peer, line))
            for name in ("Require", "RSeq", "Session-Expires"):
                assert name not in ok.headers


async def test_an_extension_that_is_required_and_unknown_is_420() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            peer.send(invite(peer, "Require: 100rel, com.example.magic"), bench.address())
            refused = await peer.response()
            assert refused.status == 420
            assert refused.headers.get("Unsupported") == "com.example.magic"


async def test_a_session_timer_below_its_minimum_is_told_the_minimum() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            lines = ("Supported: timer", "Session-Expires: 30;refresher=uac", "Min-SE: 30")
            peer.send(invite(peer, *lines), bench.address())
            refused = await peer.response()
            assert refused.status == 422
            assert refused.headers.get("Min-SE") == "90"
            assert bench.calls.empty()


async def test_a_session_timer_that_is_short_where_nobody_knows_422_is_lengthened() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            _, ok = await whole_call(bench, peer, invite(peer, "x: 30;refresher=uac"))
            assert ok.headers.get("Session-Expires") == "90;refresher=uas"


async def test_replaces_replaces_nothing() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            line = "Replaces: 98732@sip.example.net;from-tag=r33th4x0r;to-tag=ff87ff"
            await whole_call(bench, peer, invite(peer, line))


# What must come back as it came


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("Via", "Via: SIP/2.0/UDP {peer};branch=z9hG4bK+a/b%20c=;rport"),
        ("From", "From: <sip:+49301@x.example.net>;tag=a+b%41"),
        ("From", 'From: <sip:+49301@x.example.net>;+sip.instance="<urn:uuid:00>";tag=1'),
        ("From", "From:  <sip:%2B49301@x.example.net> ;  tag=1"),
        ("To", 'To: "a \\" b"  <sip:+4930900123@dialin.example.org;user=phone>'),
        ("Call-ID", "Call-ID: {x}<y>+z%20@[2001:db8::1]"),
        ("CSeq", "CSeq: 0314159 INVITE"),
        (
            "Record-Route",
            "Record-Route: <sip:{peer};lr=on;ftag=1+2;did=a%5B>, <sip:127.0.0.1;lr>",
        ),
    ],
)
async def test_identifiers_come_back_octet_for_octet(name: str, line: str) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            data = invite(peer, changed={name: line})
            _, ok = await whole_call(bench, peer, data)
            sent = parse(data).headers.all(name)[0]
            if name == "Via":
                assert ok.via.branch == "z9hG4bK+a/b%20c="
            elif name == "To":
                assert ok.headers.all("To")[0].startswith(sent)
            else:
                assert ok.headers.all(name)[0] == sent


# Challenges


@pytest.mark.parametrize(
    "challenges",
    [
        pytest.param(
            ['Proxy-Authenticate: Digest realm="a", nonce="1", Digest realm="b", nonce="2"'],
            id="several-in-one-header",
        ),
        pytest.param(
            [
                'Proxy-Authenticate: Digest realm="a", nonce="1", algorithm=SHA-256, qop="auth"',
                'Proxy-Authenticate: Digest realm="a", nonce="2", algorithm=MD5, qop="auth"',
            ],
            id="sha-256-beside-md5",
        ),
        pytest.param(
            ['Proxy-Authenticate: Digest realm="a", nonce="1", qop="auth,auth-int"'], id="two-qop"
        ),
        pytest.param(
            ['Proxy-Authenticate: Digest realm="a, b, c", nonce="1"'], id="comma-in-the-realm"
        ),
        pytest.param(['Proxy-Authenticate: Digest realm="a", nonce="1", stale=TRUE'], id="stale"),
        pytest.param(["Proxy-Authenticate: Basic"], id="no-digest"),
        pytest.param([], id="nothing"),
    ],
)
@pytest.mark.parametrize("status", [401, 407])
async def test_a_challenge_refuses_the_call_however_it_is_written(
    status: int, challenges: list[str]
) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await bench.sip.invite(
                "sip:12345@127.0.0.1",
                Flow("UDP", peer.host, peer.port),
                from_display="x",
                from_user="1",
                offer=SDP,
            )
            request = await peer.request()
            lines = [tuple(line.split(": ", 1)) for line in challenges]
            refusal = answer_to(request, status, lines)  # type: ignore[arg-type]  # pairs
            for _ in range(3):  # repeated until it is acknowledged, and each time it is
                peer.send(refusal, bench.address())
                ack = await peer.request()
                assert (ack.method, ack.via.branch) == ("ACK", request.via.branch)
            with pytest.raises(Refused) as caught:
                await leg.answered()
            assert caught.value.status == status
            await bench.in_step(peer)
            assert bench.sip.legs == 0
