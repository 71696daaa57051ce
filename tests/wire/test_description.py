# SPDX-License-Identifier: GPL-3.0-or-later
"""Session descriptions: every habit of real peers, limits, and the round trip."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.description import (
    MAX_MEDIA,
    MAX_SDP_BYTES,
    MalformedSdp,
    RtpMap,
    SessionDescription,
)

TRUNK = (
    b"v=0\r\n"
    b"o=gateway 2890844526 2890844527 IN IP4 198.51.100.4\r\n"
    b"s=call\r\n"
    b"i=remarks that nobody reads\r\n"
    b"c=IN IP4 192.0.2.30\r\n"
    b"b=AS:64\r\n"
    b"t=0 0\r\n"
    b"a=tool:gateway\r\n"
    b"m=audio 4000 RTP/AVP 8 0 101\r\n"
    b"a=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-15\r\n"
    b"a=maxptime:40\r\n"
    b"a=sendrecv\r\n"
)


def parse(body: bytes) -> SessionDescription:
    return SessionDescription.parse(body)


class TestReading:
    def test_a_trunks_offer(self) -> None:
        session = parse(TRUNK)
        (audio,) = session.media
        assert session.origin == "gateway 2890844526 2890844527 IN IP4 198.51.100.4"
        assert (session.session_name, session.connection) == ("call", "192.0.2.30")
        assert session.attributes == (("tool", "gateway"),)
        assert (audio.kind, audio.port, audio.protocol) == ("audio", 4000, "RTP/AVP")
        assert audio.formats == ("8", "0", "101")
        assert audio.rtpmap("8") == RtpMap("PCMA", 8000, 1)
        assert audio.rtpmap("0") is None
        assert audio.fmtp("101") == "0-15"
        assert audio.fmtp("8") is None
        assert audio.direction == "sendrecv"
        assert audio.attribute("maxptime") == "40"
        assert audio.attribute("sendrecv") == ""
        assert audio.attribute("ptime") is None

    def test_an_attribute_may_stand_there_several_times(self) -> None:
        (audio,) = parse(TRUNK + b"a=crypto:1 x\r\na=crypto\r\n").media
        assert audio.values("crypto") == ("1 x", "")
        assert audio.values("candidate") == ()

    @pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n \n", b"  \r\n"])
    def test_lines_end_as_the_peer_likes_and_blank_ones_are_passed_over(self, end: bytes) -> None:
        assert parse(TRUNK.replace(b"\r\n", end)) == parse(TRUNK)

    def test_a_last_line_without_an_end(self) -> None:
        assert parse(TRUNK.rstrip()) == parse(TRUNK)

    def test_a_medias_own_c_line_goes_before_the_sessions(self) -> None:
        session = parse(TRUNK + b"c=IN IP4 203.0.113.9\r\n")
        assert session.host_of(session.media[0]) == "203.0.113.9"
        assert session.connection == "192.0.2.30"

    def test_of_two_c_lines_in_one_place_the_first_counts(self) -> None:
        session = parse(TRUNK.replace(b"b=AS:64", b"c=IN IP4 203.0.113.9"))
        assert session.host_of(session.media[0]) == "192.0.2.30"

    def test_the_time_to_live_of_a_multicast_address_is_left_out(self) -> None:
        assert parse(TRUNK.replace(b"192.0.2.30", b"233.252.0.1/127")).connection == "233.252.0.1"

    def test_an_ipv6_address(self) -> None:
        session = parse(TRUNK.replace(b"IP4 192.0.2.30", b"IP6 2001:db8::30"))
        assert session.connection == "2001:db8::30"
        assert b"\r\nc=IN IP6 2001:db8::30\r\n" in bytes(session)

    def test_the_direction_of_the_session_holds_for_media_without_one(self) -> None:
        session = parse(
            TRUNK.replace(b"a=tool:gateway", b"a=sendonly").replace(b"a=sendrecv\r\n", b"")
        )
        assert session.direction_of(session.media[0]) == "sendonly"
        assert session.media[0].direction == "sendrecv"

    def test_without_a_word_media_goes_both_ways(self) -> None:
        session = parse(TRUNK.replace(b"a=sendrecv\r\n", b""))
        assert session.direction_of(session.media[0]) == "sendrecv"

    def test_a_port_count(self) -> None:
        (audio,) = parse(TRUNK.replace(b"4000 ", b"4000/2 ")).media
        assert (audio.port, audio.port_count) == (4000, 2)
        assert b"m=audio 4000/2 RTP/AVP" in bytes(parse(TRUNK.replace(b"4000 ", b"4000/2 ")))

    def test_formats_that_are_no_numbers(self) -> None:
        image = parse(TRUNK + b"m=image 4002 udptl t38\r\na=T38FaxVersion:0\r\n").media[1]
        assert (image.kind, image.protocol, image.formats) == ("image", "udptl", ("t38",))

    def test_attributes_of_one_media_do_not_leak_into_the_next(self) -> None:
        session = parse(TRUNK + b"m=video 4002 RTP/AVP 31\r\na=inactive\r\n")
        assert session.media[0].direction == "sendrecv"
        assert session.media[1].attributes == (("inactive", None),)
        assert session.media[1].direction == "inactive"

    def test_another_charset_survives(self) -> None:
        body = TRUNK.replace(b"s=call", b"a=charset:ISO-8859-1\r\ns=Gespr\xe4ch")
        assert b"\r\ns=Gespr\xe4ch\r\n" in bytes(parse(body))

    @pytest.mark.parametrize("name", [b"s=\r\n", b"s= \r\n", b""])
    def test_a_session_without_a_name(self, name: bytes) -> None:
        assert parse(TRUNK.replace(b"s=call\r\n", name)).session_name == "-"

    def test_lines_of_unknown_types_are_passed_over(self) -> None:
        assert parse(TRUNK.replace(b"b=AS:64", b"x=vendor")) == parse(TRUNK)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (b"9 G722/8000/1", RtpMap("G722", 8000, 1)),
            (b"9 opus/48000/2", RtpMap("OPUS", 48000, 2)),
            (b" 9  pcmu/8000", RtpMap("PCMU", 8000, 1)),
            (b"9 G722", None),
            (b"9 G722/8k", None),
            (b"9 G722/123456789", RtpMap("G722", 123456789, 1)),
            (b"9 G722/" + b"1" * 5000, None),
            (b"9 G722/8000/x", None),
            (b"9", None),
            (b"", None),
            (b"8 PCMA/8000\r\na=rtpmap", None),
        ],
    )
    def test_rtpmap(self, value: bytes, expected: RtpMap | None) -> None:
        (audio,) = parse(TRUNK.replace(b"8 PCMA/8000", value)).media
        assert audio.rtpmap("9") == expected


class TestRefusing:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\r\n",
            b"hello",
            b"v=1\r\n",
            TRUNK[5:],  # no v= line
            TRUNK + b"text\r\n",
            TRUNK + b"x\r\n",
            TRUNK + b"ab=c\r\n",
            TRUNK + b"=x\r\n",
            TRUNK + b"c=IN IP4\r\n",
            TRUNK + b"c=IN IP4 /127\r\n",
            TRUNK + b"c=IN IP4 192.0.2.1 192.0.2.2\r\n",
            TRUNK + b"m=\r\n",
            TRUNK + b"m=audio\r\n",
            TRUNK + b"m=audio 4000 RTP/AVP\r\n",
            TRUNK + b"m=audio x RTP/AVP 0\r\n",
            TRUNK + b"m=audio -1 RTP/AVP 0\r\n",
            TRUNK + b"m=audio 65536 RTP/AVP 0\r\n",
            TRUNK + b"m=audio 4000/ RTP/AVP 0\r\n",
            TRUNK + "m=audio \uff14 RTP/AVP 0\r\n".encode(),  # a digit, but none of ASCII
            TRUNK + b"m=video 4002 RTP/AVP 31\r\n" * MAX_MEDIA,
            TRUNK + b"a=x:" + b"x" * MAX_SDP_BYTES,
        ],
    )
    def test_what_is_no_description_is_malformed(self, body: bytes) -> None:
        with pytest.raises(MalformedSdp):
            parse(body)

    def test_as_many_media_as_allowed_are_read(self) -> None:
        body = TRUNK + b"m=video 4002 RTP/AVP 31\r\n" * (MAX_MEDIA - 1)
        assert len(parse(body).media) == MAX_MEDIA

    def test_the_longest_description_is_read_in_time_that_grows_with_it(self) -> None:
        body = (TRUNK + b"a=x\r\n" * (MAX_SDP_BYTES // 5))[:MAX_SDP_BYTES]
        began = time.perf_counter()
        parse(body)
        assert time.perf_counter() - began < 0.5  # 6,000 lines; a few ms on a quiet machine


LINES = st.one_of(
    st.sampled_from(TRUNK.split(b"\r\n")),
    st.sampled_from([b"m=image 0 udptl t38", b"c=IN IP6 ::1", b"a=:", b"a=", b"s=", b" ", b"\0"]),
    st.binary(max_size=30),
    st.tuples(st.sampled_from(b"omcast"), st.binary(max_size=30)).map(
        lambda line: bytes([line[0]]) + b"=" + line[1]
    ),
)


class TestProperties:
    @given(st.binary(max_size=200))
    def test_the_parser_is_total(self, body: bytes) -> None:
        try:
            parse(body)
        except MalformedSdp:
            return

    @given(st.lists(LINES, max_size=12))
    def test_what_is_read_is_written_and_read_again(self, lines: list[bytes]) -> None:
        try:
            session = parse(b"v=0\n" + b"\n".join(lines))
        except MalformedSdp:
            return
        assert parse(bytes(session)) == session

    def test_keys_and_names_of_callers_stay_out_of_representations(self) -> None:
        body = TRUNK.replace(b"gateway", b"+4915738620594").replace(b"call", b"+4915738620594")
        session = parse(body + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET\r\n")
        assert "SECRET" not in repr(session)
        assert "738620594" not in repr(session)
