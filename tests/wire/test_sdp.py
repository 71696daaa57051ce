# SPDX-License-Identifier: GPL-3.0-or-later
"""Offer and answer (RFC 3264) with what trunks offer and what FreeSWITCH answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.events import Codec
from dialin.wire import sdp
from dialin.wire.sdp import (
    Direction,
    EncryptionRequired,
    LocalMedia,
    MalformedSdp,
    MediaDescription,
    NoCommonCodec,
    RemoteMedia,
    SessionDescription,
)

LOCAL = LocalMedia("192.0.2.1", 20000, 77, 3)
CODECS = (Codec.G722, Codec.PCMA, Codec.PCMU)
DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")


def described(*lines: str, connection: str = "IN IP4 198.51.100.30") -> SessionDescription:
    """A description with the given lines after the session's own."""
    head = ("v=0", "o=x 1 1 IN IP4 203.0.113.99", "s=-", f"c={connection}", "t=0 0")
    return SessionDescription.parse("\r\n".join([*head, *lines]).encode())


def answered(*lines: str) -> tuple[SessionDescription, RemoteMedia]:
    return sdp.answer(described(*lines), LOCAL, CODECS)


def remote(*lines: str) -> RemoteMedia:
    return answered(*lines)[1]


class TestAnswering:
    def test_the_whole_answer_to_a_trunks_offer(self) -> None:
        ours, theirs = answered(
            "m=audio 4000 RTP/AVP 0 8 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
            "a=ptime:30",
        )
        assert bytes(ours).decode() == (
            "v=0\r\n"
            "o=- 77 3 IN IP4 192.0.2.1\r\n"
            "s=-\r\n"
            "c=IN IP4 192.0.2.1\r\n"
            "t=0 0\r\n"
            "m=audio 20000 RTP/AVP 8 101\r\n"
            "a=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
            "a=fmtp:101 0-16\r\n"
            "a=ptime:20\r\n"
            "a=sendrecv\r\n"
        )
        assert theirs == RemoteMedia(
            host="198.51.100.30",
            rtp_port=4000,
            rtcp_port=4001,
            codec=Codec.PCMA,
            payload_type=8,
            telephone_event=101,
            direction="sendrecv",
            ptime_ms=30,
        )

    def test_our_order_of_codecs_goes_before_theirs(self) -> None:
        lines = ("m=audio 4000 RTP/AVP 0 8 9",)
        assert remote(*lines).codec is Codec.G722
        _, theirs = sdp.answer(described(*lines), LOCAL, [Codec.PCMU, Codec.G722])
        assert theirs.codec is Codec.PCMU

    @pytest.mark.parametrize("codec", Codec)
    def test_static_payload_types_need_no_rtpmap(self, codec: Codec) -> None:
        theirs = remote(f"m=audio 4000 RTP/AVP {codec.payload_type}")
        assert (theirs.codec, theirs.payload_type) == (codec, codec.payload_type)

    def test_dynamic_types_for_known_codecs_keep_their_numbers(self) -> None:
        ours, theirs = answered(
            "m=audio 4000 RTP/AVP 118 97",
            "a=rtpmap:118 pcma/8000/1",
            "a=rtpmap:97 Telephone-Event/8000",
        )
        assert (theirs.codec, theirs.payload_type, theirs.telephone_event) == (Codec.PCMA, 118, 97)
        assert ours.media[0].formats == ("118", "97")

    def test_a_static_number_that_is_mapped_otherwise_is_what_it_is_mapped_to(self) -> None:
        theirs = remote("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 PCMA/8000")
        assert theirs.codec is Codec.PCMA

    def test_g729_only_has_no_common_codec(self) -> None:
        with pytest.raises(NoCommonCodec):
            answered("m=audio 4000 RTP/AVP 18 101", "a=rtpmap:101 telephone-event/8000")

    @pytest.mark.parametrize("rtpmap", ["PCMU/16000", "PCMU/8000/2", "L16/8000"])
    def test_another_clock_or_two_channels_are_another_codec(self, rtpmap: str) -> None:
        with pytest.raises(NoCommonCodec):
            answered("m=audio 4000 RTP/AVP 96", f"a=rtpmap:96 {rtpmap}")

    def test_the_highest_payload_type_is_one(self) -> None:
        theirs = remote("m=audio 4000 RTP/AVP 127", "a=rtpmap:127 G722/8000")
        assert theirs.payload_type == 127

    @pytest.mark.parametrize("number", ["128", "x", "-1", "9999999999"])
    def test_a_number_that_is_no_payload_type_is_passed_over(self, number: str) -> None:
        theirs = remote(f"m=audio 4000 RTP/AVP {number} 0", f"a=rtpmap:{number} G722/8000")
        assert theirs.codec is Codec.PCMU

    def test_telephone_events_of_the_codecs_clock_are_taken(self) -> None:
        theirs = remote(
            "m=audio 4000 RTP/AVP 0 100 101",
            "a=rtpmap:100 telephone-event/48000",
            "a=rtpmap:101 telephone-event/8000",
        )
        assert theirs.telephone_event == 101

    def test_without_telephone_events_none_are_answered(self) -> None:
        ours, theirs = answered("m=audio 4000 RTP/AVP 0")
        assert theirs.telephone_event is None
        assert b"telephone-event" not in bytes(ours)

    def test_ipv6(self) -> None:
        offer = described("m=audio 4000 RTP/AVP 0", connection="IN IP6 2001:DB8::30")
        ours, theirs = sdp.answer(offer, replace(LOCAL, host="2001:db8::1"), CODECS)
        assert theirs.host == "2001:db8::30"
        assert ours.origin == "- 77 3 IN IP6 2001:db8::1"
        assert b"c=IN IP6 2001:db8::1\r\n" in bytes(ours)


class TestSeveralMedia:
    def test_video_is_refused_in_its_place(self) -> None:
        ours, theirs = answered(
            "m=video 4002 RTP/AVP 31 96", "m=audio 4000 RTP/AVP 0", "m=application 9 TCP/X *"
        )
        assert [(line.kind, line.port) for line in ours.media] == [
            ("video", 0),
            ("audio", 20000),
            ("application", 0),
        ]
        assert ours.media[0].formats == ("31", "96")
        assert theirs.rtp_port == 4000

    def test_a_t38_line_is_refused(self) -> None:
        ours, _ = answered("m=audio 4000 RTP/AVP 0", "m=image 4002 udptl t38")
        assert b"m=image 0 udptl t38\r\n" in bytes(ours)

    def test_of_two_audio_lines_the_first_that_is_on_is_taken(self) -> None:
        ours, theirs = answered(
            "m=audio 0 RTP/AVP 8", "m=audio 4002 RTP/AVP 0", "m=audio 4004 RTP/AVP 0"
        )
        assert theirs.rtp_port == 4002
        assert [line.port for line in ours.media] == [0, 20000, 0]

    def test_two_equal_audio_lines_are_told_apart(self) -> None:
        ours, _ = answered("m=audio 4000 RTP/AVP 0", "m=audio 4000 RTP/AVP 0")
        assert [line.port for line in ours.media] == [20000, 0]

    @pytest.mark.parametrize(
        "line", ["m=video 4000 RTP/AVP 31", "m=audio 0 RTP/AVP 0", "m=audio 4000 TCP/X 0"]
    )
    def test_without_audio_there_is_nothing_in_common(self, line: str) -> None:
        with pytest.raises(NoCommonCodec):
            answered(line)

    def test_an_offer_without_any_media(self) -> None:
        with pytest.raises(NoCommonCodec):
            answered()


class TestProfiles:
    @pytest.mark.parametrize("protocol", ["RTP/AVP", "RTP/AVPF", "rtp/avp"])
    def test_plain_rtp_is_answered_as_it_was_offered(self, protocol: str) -> None:
        ours, _ = answered(f"m=audio 4000 {protocol} 0", "a=rtcp-fb:* nack")
        assert ours.media[0].protocol == protocol

    @pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"])
    def test_encrypted_audio_only_is_refused_where_none_is_wanted(self, protocol: str) -> None:
        with pytest.raises(EncryptionRequired):
            answered(f"m=audio 4000 {protocol} 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:k")

    def test_of_an_encrypted_and_a_plain_line_the_plain_one_is_taken(self) -> None:
        ours, theirs = answered("m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0")
        assert theirs.rtp_port == 4002
        assert ours.media[0] == MediaDescription("audio", 0, "RTP/SAVP", ("0",))

    def test_a_crypto_line_in_plain_rtp_is_passed_over(self) -> None:
        ours, theirs = answered(
            "m=audio 4000 RTP/AVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:k"
        )
        assert theirs.codec is Codec.PCMU
        assert b"crypto" not in bytes(ours)


class TestDirections:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        list(zip(DIRECTIONS, ["sendrecv", "recvonly", "sendonly", "inactive"], strict=True)),
    )
    def test_the_answer_mirrors_the_offer(self, theirs: str, ours: str) -> None:
        description, end = answered("m=audio 4000 RTP/AVP 0", f"a={theirs}")
        assert end.direction == theirs
        assert description.media[0].direction == ours

    def test_the_sessions_direction_counts(self) -> None:
        assert remote("a=sendonly", "m=audio 4000 RTP/AVP 0").direction == "sendonly"

    @pytest.mark.parametrize(
        ("said", "meant"),
        list(zip(DIRECTIONS, ["sendonly", "sendonly", "inactive", "inactive"], strict=True)),
    )
    @pytest.mark.parametrize("connection", ["IN IP4 0.0.0.0", "IN IP6 ::"])
    def test_an_address_of_zeros_is_hold(self, said: str, meant: str, connection: str) -> None:
        offer = described("m=audio 4000 RTP/AVP 0", f"a={said}", connection=connection)
        assert sdp.answer(offer, LOCAL, CODECS)[1].direction == meant


class TestTheirEnd:
    def test_the_address_is_that_of_c_and_not_of_o(self) -> None:
        assert remote("m=audio 4000 RTP/AVP 0").host == "198.51.100.30"

    def test_the_medias_c_line_goes_before_the_sessions(self) -> None:
        assert remote("m=audio 4000 RTP/AVP 0", "c=IN IP4 198.51.100.31").host == "198.51.100.31"

    @pytest.mark.parametrize(
        "connection",
        ["IN IP4 gateway.example.net", "IN IP6 fe80::1%eth0", "IN IP4 192.0.2.256", "IN IP4 1"],
    )
    def test_a_name_is_not_looked_up(self, connection: str) -> None:
        with pytest.raises(MalformedSdp):
            sdp.answer(described("m=audio 4000 RTP/AVP 0", connection=connection), LOCAL, CODECS)

    def test_no_address_at_all(self) -> None:
        offer = SessionDescription.parse(b"v=0\r\no=x\r\nm=audio 4000 RTP/AVP 0\r\n")
        with pytest.raises(MalformedSdp):
            sdp.answer(offer, LOCAL, CODECS)

    @pytest.mark.parametrize(
        ("rtcp", "port"),
        [
            ("5555", 5555),
            ("5555 IN IP4 203.0.113.66", 5555),
            ("", 4001),
            ("x", 4001),
            ("0", 4001),
            ("65535", 65535),
            ("65536", 0),
        ],
    )
    def test_rtcp_goes_to_the_port_that_is_named_and_to_no_other_host(
        self, rtcp: str, port: int
    ) -> None:
        theirs = remote("m=audio 4000 RTP/AVP 0", f"a=rtcp:{rtcp}")
        assert (theirs.host, theirs.rtcp_port) == ("198.51.100.30", port)

    def test_the_last_port_has_none_after_it(self) -> None:
        assert remote("m=audio 65535 RTP/AVP 0").rtcp_port == 0

    @pytest.mark.parametrize(
        ("ptime", "expected"),
        [("10", 10), (" 60", 60), ("200", 200), ("201", 20), ("0", 20), ("20.5", 20)],
    )
    def test_ptime(self, ptime: str, expected: int) -> None:
        assert remote("m=audio 4000 RTP/AVP 0", f"a=ptime:{ptime}").ptime_ms == expected


class TestOffering:
    def test_the_whole_offer(self) -> None:
        offer = sdp.offer(LOCAL, [Codec.PCMU, Codec.G722])
        assert bytes(offer).decode() == (
            "v=0\r\n"
            "o=- 77 3 IN IP4 192.0.2.1\r\n"
            "s=-\r\n"
            "c=IN IP4 192.0.2.1\r\n"
            "t=0 0\r\n"
            "m=audio 20000 RTP/AVP 0 9 101\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=rtpmap:9 G722/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
            "a=fmtp:101 0-16\r\n"
            "a=ptime:20\r\n"
            "a=sendrecv\r\n"
        )

    def test_our_answer_to_our_offer_is_accepted(self) -> None:
        offer = sdp.offer(LOCAL, CODECS, telephone_event=96)
        answer, theirs = sdp.answer(offer, replace(LOCAL, rtp_port=30000), [Codec.PCMU])
        assert (theirs.rtp_port, theirs.telephone_event) == (20000, 96)
        accepted = sdp.accept_answer(offer, answer)
        assert (accepted.codec, accepted.rtp_port) == (Codec.PCMU, 30000)
        assert accepted.telephone_event == 96

    def test_freeswitch_answers_without_telephone_events(self) -> None:
        offer = sdp.offer(LOCAL, CODECS)
        accepted = sdp.accept_answer(
            offer,
            described(
                "m=audio 16500 RTP/AVP 0",
                "a=rtpmap:0 PCMU/8000",
                "a=ptime:20",
                "a=rtcp:16501 IN IP4 198.51.100.30",
            ),
        )
        assert accepted == RemoteMedia(
            host="198.51.100.30",
            rtp_port=16500,
            rtcp_port=16501,
            codec=Codec.PCMU,
            payload_type=0,
            telephone_event=None,
            direction="sendrecv",
            ptime_ms=20,
        )

    def test_numbers_without_an_rtpmap_mean_what_the_offer_says(self) -> None:
        offer = sdp.offer(LOCAL, CODECS)
        accepted = sdp.accept_answer(offer, described("m=audio 4000 RTP/AVP 8 101"))
        assert (accepted.codec, accepted.telephone_event) == (Codec.PCMA, 101)

    def test_our_own_direction_is_not_taken_for_theirs(self) -> None:
        answer = described("a=sendonly", "m=audio 4000 RTP/AVP 8")
        assert sdp.accept_answer(sdp.offer(LOCAL, CODECS), answer).direction == "sendonly"

    def test_of_several_codecs_in_an_answer_the_first_is_used(self) -> None:
        answer = described("m=audio 4000 RTP/AVP 13 0 8")
        assert sdp.accept_answer(sdp.offer(LOCAL, CODECS), answer).codec is Codec.PCMU

    @pytest.mark.parametrize(
        "line", ["m=audio 0 RTP/AVP 0", "m=audio 4000 RTP/AVP 0", "m=video 4000 RTP/AVP 8"]
    )
    def test_an_answer_without_a_codec_of_the_offer(self, line: str) -> None:
        with pytest.raises(NoCommonCodec):
            sdp.accept_answer(sdp.offer(LOCAL, [Codec.PCMA]), described(line))

    def test_an_answer_without_media(self) -> None:
        with pytest.raises(NoCommonCodec):
            sdp.accept_answer(sdp.offer(LOCAL, CODECS), described())

    def test_in_mid_call_every_line_keeps_its_place_and_hold_is_over(self) -> None:
        ours, _ = answered(
            "m=video 4002 RTP/AVP 31",
            "m=audio 4000 RTP/AVP 8 101",
            "a=rtpmap:101 telephone-event/8000",
            "a=sendonly",
        )
        again = sdp.offer_again(ours, None)
        assert [line.port for line in again.media] == [0, 20000]
        assert again.media[1].direction == "sendrecv"
        assert again.media[1].formats == ("8", "101")
        answer = described("m=video 0 RTP/AVP 31", "m=audio 4006 RTP/AVP 8")
        assert sdp.accept_answer(again, answer).rtp_port == 4006

    def test_an_answer_with_fewer_lines_than_the_offer(self) -> None:
        ours, _ = answered("m=video 4002 RTP/AVP 31", "m=audio 4000 RTP/AVP 8")
        with pytest.raises(NoCommonCodec):
            sdp.accept_answer(sdp.offer_again(ours, None), described("m=audio 4006 RTP/AVP 8"))

    def test_an_answer_that_wants_encryption_after_all(self) -> None:
        with pytest.raises(EncryptionRequired):
            sdp.accept_answer(sdp.offer(LOCAL, CODECS), described("m=audio 4000 RTP/SAVP 0"))


FORMATS = st.lists(
    st.sampled_from(["0", "8", "9", "18", "96", "101", "t38"]), min_size=1, max_size=5
)
MEDIA = st.builds(
    MediaDescription,
    kind=st.sampled_from(["audio", "audio", "video", "image"]),
    port=st.sampled_from([0, 4000, 65535]),
    protocol=st.sampled_from(["RTP/AVP", "RTP/AVP", "RTP/AVPF", "RTP/SAVP"]),
    formats=FORMATS.map(tuple),
    connection=st.sampled_from([None, "198.51.100.7", "host.example"]),
    attributes=st.lists(
        st.sampled_from(
            [
                ("rtpmap", "96 PCMA/8000"),
                ("rtpmap", "101 telephone-event/8000"),
                ("rtcp", "99999"),
                ("ptime", "x"),
                ("sendonly", None),
            ]
        )
    ).map(tuple),
)


class TestProperties:
    @given(st.lists(MEDIA, max_size=4), st.sampled_from([None, "198.51.100.8", "0.0.0.0"]))
    def test_any_offer_is_refused_for_a_reason_or_answered_line_by_line(
        self, media: list[MediaDescription], connection: str | None
    ) -> None:
        offer = SessionDescription("-", connection=connection, media=tuple(media))
        try:
            answer, theirs = sdp.answer(offer, LOCAL, CODECS)
        except (NoCommonCodec, EncryptionRequired, MalformedSdp):
            return
        assert [line.kind for line in answer.media] == [line.kind for line in media]
        assert [line.protocol for line in answer.media] == [line.protocol for line in media]
        (taken,) = [index for index, line in enumerate(answer.media) if line.port]
        assert set(answer.media[taken].formats) <= set(media[taken].formats)
        assert theirs.rtp_port == media[taken].port
        assert SessionDescription.parse(bytes(answer)) == answer
