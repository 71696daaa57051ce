# SPDX-License-Identifier: GPL-3.0-or-later
"""SRTP in offer and answer: what is taken, refused and promised under each policy."""

from __future__ import annotations

import base64
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.errors import PeerError
from dialin.events import Codec
from dialin.wire import sdp
from dialin.wire.encryption import (
    Encryption,
    EncryptionIsOff,
    EncryptionRequired,
    EncryptionUnusable,
)
from dialin.wire.sdes import Crypto, MasterKey, SrtpKeys, Suite
from dialin.wire.sdp import LocalMedia, NoCommonCodec, RemoteMedia, SessionDescription

LOCAL = LocalMedia("192.0.2.1", 20000, 77, 3)
THEIRS = LocalMedia("198.51.100.30", 4000, 1, 1)
CODECS = (Codec.PCMA,)
OFF, PREFER, REQUIRE = Encryption
CM_80, CM_32 = Suite.AES_CM_128_HMAC_SHA1_80, Suite.AES_CM_128_HMAC_SHA1_32
GCM_128, GCM_256 = Suite.AEAD_AES_128_GCM, Suite.AEAD_AES_256_GCM


class Secrets:
    """Keys that are never the same, and can be told apart."""

    def __init__(self, first: int = 1) -> None:
        self._numbers = count(first)
        self.given: list[bytes] = []

    def __call__(self, octets: int) -> bytes:
        self.given.append(next(self._numbers).to_bytes(octets))
        return self.given[-1]


def line(suite: Suite = CM_80, *, tag: int = 1, key: int = 200, rest: str = "") -> str:
    """An a=crypto line of theirs."""
    secret = base64.b64encode(key.to_bytes(suite.master_bytes)).decode()
    return f"a=crypto:{tag} {suite} inline:{secret}{rest}"


def audio(profile: str, *lines: str, port: int = 4000) -> tuple[str, ...]:
    """An audio line of theirs."""
    return (f"m=audio {port} {profile} 8", *lines)


def described(*lines: str) -> SessionDescription:
    head = ("v=0", "o=x 1 1 IN IP4 203.0.113.99", "s=-", "c=IN IP4 198.51.100.30", "t=0 0")
    return SessionDescription.parse("\r\n".join([*head, *lines]).encode())


def answered(
    *lines: str,
    encryption: Encryption = PREFER,
    suites: tuple[Suite, ...] = tuple(Suite),
    current: SrtpKeys | None = None,
    new_key: Secrets | None = None,
) -> tuple[SessionDescription, RemoteMedia]:
    return sdp.answer(
        described(*lines),
        LOCAL,
        CODECS,
        encryption=encryption,
        new_key=new_key or Secrets(),
        suites=suites,
        current=current,
    )


def agreed(*lines: str, encryption: Encryption = PREFER) -> SrtpKeys | None:
    return answered(*lines, encryption=encryption)[1].srtp


def lines_of(description: SessionDescription) -> list[Crypto]:
    return [Crypto.parse(value) for value in description.media[0].values("crypto")]


class TestAnswering:
    @pytest.mark.parametrize("encryption", [PREFER, REQUIRE])
    @pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF", "rtp/savp"])
    def test_srtp_is_answered_as_srtp_with_one_line(
        self, profile: str, encryption: Encryption
    ) -> None:
        ours, theirs = answered(*audio(profile, line(tag=7)), encryption=encryption)
        assert ours.media[0].protocol == profile
        assert lines_of(ours) == [Crypto(7, CM_80, (MasterKey((1).to_bytes(30)),))]
        assert theirs.srtp == SrtpKeys(CM_80, (1).to_bytes(30), (200).to_bytes(30))

    @pytest.mark.parametrize("encryption", [PREFER, REQUIRE])
    @pytest.mark.parametrize("profile", ["RTP/AVP", "RTP/AVPF"])
    def test_keys_beside_plain_rtp_are_taken_and_the_profile_stays(  # RFC 8643 §3.2
        self, profile: str, encryption: Encryption
    ) -> None:
        ours, theirs = answered(*audio(profile, line(tag=2)), encryption=encryption)
        assert ours.media[0].protocol == profile
        assert [crypto.tag for crypto in lines_of(ours)] == [2]
        assert theirs.srtp is not None

    def test_the_whole_answer_to_rfc_4568_7_1(self) -> None:
        key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4"
        two = "inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4"
        ours, theirs = answered(
            "m=audio 4000 RTP/SAVP 8 101",
            "a=rtpmap:101 telephone-event/8000",
            f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key} FEC_ORDER=FEC_SRTP",
            f"a=crypto:2 F8_128_HMAC_SHA1_80 {two} FEC_ORDER=FEC_SRTP",
        )
        assert bytes(ours).decode() == (
            "v=0\r\n"
            "o=- 77 3 IN IP4 192.0.2.1\r\n"
            "s=-\r\n"
            "c=IN IP4 192.0.2.1\r\n"
            "t=0 0\r\n"
            "m=audio 20000 RTP/SAVP 8 101\r\n"
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\r\n"
            "a=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
            "a=fmtp:101 0-16\r\n"
            "a=ptime:20\r\n"
            "a=sendrecv\r\n"
        )
        assert theirs.srtp is not None
        assert theirs.srtp.receive_key.startswith(b"YS___semctl")
        assert theirs.srtp.receive_mki == b"\0\0\0\1"

    def test_the_suite_is_the_one_that_we_like_best(self) -> None:
        offered = [
            line(suite, tag=tag, key=tag) for tag, suite in enumerate(reversed(Suite), start=1)
        ]
        while offered:
            keys = agreed(*audio("RTP/SAVP", *offered))
            assert keys is not None
            assert f" {keys.suite} " in offered.pop()

    def test_only_suites_that_media_can_do_are_taken(self) -> None:
        offer = audio("RTP/SAVP", line(GCM_256, tag=1), line(CM_32, tag=2))
        ours, _ = answered(*offer, suites=(CM_80, CM_32))
        assert [(crypto.tag, crypto.suite) for crypto in lines_of(ours)] == [(2, CM_32)]
        with pytest.raises(EncryptionUnusable):
            answered(*offer, suites=(CM_80,))

    def test_of_two_lines_of_one_suite_the_one_without_mki(self) -> None:
        keys = agreed(*audio("RTP/SAVP", line(key=1, rest="|2^31|1:1"), line(tag=2, key=2)))
        assert keys is not None
        assert (keys.receive_key, keys.receive_mki) == ((2).to_bytes(30), b"")

    def test_lines_that_cannot_be_read_or_used_are_passed_over(self) -> None:
        ours, _ = answered(
            *audio(
                "RTP/SAVP",
                "a=crypto",
                "a=crypto:1 F8_128_HMAC_SHA1_80 inline:AAAA",
                line(GCM_256, tag=2, rest=" UNENCRYPTED_SRTP"),
                line(GCM_128, tag=3, rest=" newer=1"),
                line(tag=4, rest=" -newer=1"),
            )
        )
        assert [crypto.tag for crypto in lines_of(ours)] == [4]

    def test_an_encrypted_line_goes_before_a_plain_one(self) -> None:
        plain, secure = audio("RTP/AVP"), audio("RTP/SAVP", line(), port=4002)
        for offer in (plain + secure, secure + plain):
            ours, theirs = answered(*offer)
            assert theirs.rtp_port == 4002
            assert theirs.srtp is not None
            assert sorted(line.port for line in ours.media) == [0, 20000]

    def test_a_refused_line_repeats_no_key(self) -> None:
        ours, _ = answered(*audio("RTP/SAVP", line()), *audio("RTP/SAVP", line(key=9)))
        assert ours.media[1].attributes == ()

    def test_each_call_and_each_direction_has_its_own_key(self) -> None:
        secrets = Secrets()
        calls = [answered(*audio("RTP/SAVP", line()), new_key=secrets)[1].srtp for _ in range(2)]
        keys = {key for call in calls if call for key in (call.send_key, call.receive_key)}
        assert len(keys) == 3  # the peer's is the same each time

    def test_encryption_without_a_source_of_keys_is_a_fault_of_ours(self) -> None:
        with pytest.raises(TypeError):
            sdp.answer(
                described(*audio("RTP/SAVP", line())), LOCAL, CODECS, encryption=Encryption.REQUIRE
            )


class TestPolicies:
    @pytest.mark.parametrize("encryption", [OFF, PREFER])
    def test_plain_audio_stays_plain(self, encryption: Encryption) -> None:
        ours, theirs = answered(*audio("RTP/AVP"), encryption=encryption)
        assert theirs.srtp is None
        assert ours.media[0].protocol == "RTP/AVP"

    def test_off_passes_over_keys_beside_plain_rtp(self) -> None:
        ours, theirs = answered(*audio("RTP/AVP", line()), encryption=OFF)
        assert theirs.srtp is None
        assert b"crypto" not in bytes(ours)

    def test_off_refuses_srtp(self) -> None:
        with pytest.raises(EncryptionIsOff):
            answered(*audio("RTP/SAVP", line()), encryption=OFF)

    def test_off_takes_the_plain_line_of_two(self) -> None:
        _, theirs = answered(
            *audio("RTP/SAVP", line()), *audio("RTP/AVP", port=4002), encryption=OFF
        )
        assert theirs.rtp_port == 4002

    def test_require_refuses_audio_in_the_clear(self) -> None:
        with pytest.raises(EncryptionRequired) as error:
            answered(*audio("RTP/AVP"), encryption=REQUIRE)
        assert type(error.value) is EncryptionRequired

    def test_require_refuses_keys_that_it_cannot_use_beside_plain_rtp(self) -> None:
        with pytest.raises(EncryptionUnusable):
            answered(*audio("RTP/AVP", line(rest=" KDR=1")), encryption=REQUIRE)

    def test_prefer_falls_back_where_keys_beside_plain_rtp_are_of_no_use(self) -> None:
        ours, theirs = answered(*audio("RTP/AVP", line(rest=" KDR=1")))
        assert theirs.srtp is None
        assert b"crypto" not in bytes(ours)

    @pytest.mark.parametrize("encryption", [PREFER, REQUIRE])
    @pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"])
    def test_srtp_without_a_line_of_use_is_refused(
        self, profile: str, encryption: Encryption
    ) -> None:
        with pytest.raises(EncryptionUnusable):
            answered(*audio(profile, line(rest=" UNENCRYPTED_SRTCP")), encryption=encryption)

    def test_keys_beside_dtls_are_not_for_us(self) -> None:
        with pytest.raises(EncryptionUnusable):
            answered(*audio("UDP/TLS/RTP/SAVPF", line()))

    @pytest.mark.parametrize("encryption", Encryption)
    def test_another_transport_is_no_audio_for_us(self, encryption: Encryption) -> None:
        with pytest.raises(NoCommonCodec):
            answered(*audio("TCP/RTP/AVP", line()), encryption=encryption)


class TestChangingKeys:
    def test_an_offer_repeated_gives_the_same_keys(self) -> None:
        secrets = Secrets()
        ours, theirs = answered(*audio("RTP/SAVP", line()), new_key=secrets)
        again, still = answered(*audio("RTP/SAVP", line()), new_key=secrets, current=theirs.srtp)
        assert still.srtp == theirs.srtp
        assert bytes(again) == bytes(ours)
        assert len(secrets.given) == 1

    def test_its_new_tag_is_echoed_all_the_same(self) -> None:
        _, theirs = answered(*audio("RTP/SAVP", line()))
        again, still = answered(*audio("RTP/SAVP", line(tag=5)), current=theirs.srtp)
        assert still.srtp == theirs.srtp
        assert lines_of(again)[0].tag == 5

    @pytest.mark.parametrize(
        "offer", [line(key=201), line(GCM_128), line(CM_32), line(rest="|1:1")]
    )
    def test_another_key_suite_or_mki_of_theirs_gives_a_new_key_of_ours(self, offer: str) -> None:
        secrets = Secrets()
        _, theirs = answered(*audio("RTP/SAVP", line()), new_key=secrets)
        _, now = answered(*audio("RTP/SAVP", offer), new_key=secrets, current=theirs.srtp)
        assert theirs.srtp is not None
        assert now.srtp is not None
        assert now.srtp != theirs.srtp
        assert now.srtp.send_key != theirs.srtp.send_key

    def test_an_offer_of_ours_in_mid_call_holds_the_key_in_use_alone(self) -> None:
        first = offered(PREFER)
        answer = described(*audio("RTP/SAVP", line(GCM_128, tag=2, key=6)))
        current = sdp.accept_answer(first, answer).srtp
        again = sdp.offer_again(first, current)
        assert lines_of(again) == [Crypto(1, GCM_128, (MasterKey((2).to_bytes(28)),))]
        answer = described(*audio("RTP/SAVP", line(GCM_128, tag=1, key=6)))
        assert sdp.accept_answer(again, answer).srtp == current

    def test_one_in_the_clear_stays_in_the_clear(self) -> None:
        again = sdp.offer_again(offered(PREFER, opportunistic=True), None)
        assert lines_of(again) == []
        assert again.media[0].protocol == "RTP/AVP"


def offered(
    encryption: Encryption, *, opportunistic: bool = False, new_key: Secrets | None = None
) -> SessionDescription:
    return sdp.offer(
        LOCAL,
        CODECS,
        encryption=encryption,
        new_key=new_key or Secrets(),
        opportunistic=opportunistic,
    )


class TestOffering:
    @pytest.mark.parametrize(
        ("encryption", "opportunistic", "profile"),
        [
            (OFF, False, "RTP/AVP"),
            (OFF, True, "RTP/AVP"),
            (PREFER, False, "RTP/SAVP"),
            (PREFER, True, "RTP/AVP"),
            (REQUIRE, False, "RTP/SAVP"),
            (REQUIRE, True, "RTP/SAVP"),
        ],
    )
    def test_profiles(self, encryption: Encryption, opportunistic: bool, profile: str) -> None:
        ours = offered(encryption, opportunistic=opportunistic)
        assert ours.media[0].protocol == profile
        assert bool(lines_of(ours)) is (encryption is not OFF)

    def test_every_suite_but_those_with_short_tags_best_first_each_with_its_own_key(self) -> None:
        secrets = Secrets()
        lines = lines_of(offered(REQUIRE, new_key=secrets))
        assert [(crypto.tag, crypto.suite) for crypto in lines] == [
            (1, GCM_256),
            (2, GCM_128),
            (3, CM_80),
            (4, Suite.AES_256_CM_HMAC_SHA1_80),
        ]
        assert [crypto.keys[0].key_and_salt for crypto in lines] == secrets.given

    def test_only_suites_that_media_can_do(self) -> None:
        ours = sdp.offer(
            LOCAL, CODECS, encryption=PREFER, new_key=Secrets(), suites=(CM_80, CM_32, GCM_256)
        )
        assert [crypto.suite for crypto in lines_of(ours)] == [CM_80, GCM_256]


class TestAccepting:
    @pytest.mark.parametrize("encryption", [PREFER, REQUIRE])
    @pytest.mark.parametrize("opportunistic", [False, True])
    def test_their_line_says_which_of_ours_it_answers(
        self, encryption: Encryption, opportunistic: bool
    ) -> None:
        ours = offered(encryption, opportunistic=opportunistic)
        profile = ours.media[0].protocol
        answer = described(*audio(profile, line(tag=3, key=9, rest="|2^31|1:1")))
        keys = sdp.accept_answer(ours, answer).srtp
        assert keys == SrtpKeys(CM_80, (3).to_bytes(30), (9).to_bytes(30), b"\1")

    def test_both_ends_have_the_same_keys_the_other_way_round(self) -> None:
        ours = offered(PREFER)
        answer, their_view = sdp.answer(
            ours, THEIRS, CODECS, encryption=PREFER, new_key=Secrets(first=50)
        )
        our_view = sdp.accept_answer(ours, answer).srtp
        assert our_view is not None
        assert their_view.srtp is not None
        assert our_view.send_key == their_view.srtp.receive_key
        assert our_view.receive_key == their_view.srtp.send_key
        assert our_view.suite is their_view.srtp.suite is GCM_256

    @pytest.mark.parametrize(
        "answer",
        [
            audio("RTP/SAVP"),
            audio("RTP/SAVP", line(tag=9)),
            audio("RTP/SAVP", line(tag=1)),  # tag 1 is another suite
            audio("RTP/SAVP", line(tag=3, rest=" UNENCRYPTED_SRTP")),
            audio("RTP/SAVP", "a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:k"),
            audio("RTP/AVP"),
        ],
    )
    @pytest.mark.parametrize("encryption", [PREFER, REQUIRE])
    def test_srtp_offered_is_not_let_go_in_the_clear(
        self, answer: tuple[str, ...], encryption: Encryption
    ) -> None:
        with pytest.raises(EncryptionUnusable):
            sdp.accept_answer(offered(encryption), described(*answer))

    def test_keys_that_were_a_wish_may_be_left_alone(self) -> None:
        ours = offered(PREFER, opportunistic=True)
        assert sdp.accept_answer(ours, described(*audio("RTP/AVP"))).srtp is None

    def test_keys_that_nobody_offered_are_nothing(self) -> None:
        answer = described(*audio("RTP/AVP", line()))
        assert sdp.accept_answer(offered(OFF), answer).srtp is None

    def test_an_answer_of_srtp_that_nobody_offered(self) -> None:
        with pytest.raises(EncryptionUnusable):
            sdp.accept_answer(offered(OFF), described(*audio("RTP/SAVP", line())))


CRYPTO_LINES = st.builds(
    lambda suite, tag, key, rest: line(suite, tag=tag, key=key, rest=rest),
    st.sampled_from(Suite),
    st.integers(0, 5),
    st.integers(1, 3),
    st.sampled_from(["", "|2^31", "|1:1", "|2^31|7:2", " KDR=1", " -x", " x"]),
)
AUDIO_LINES = st.builds(
    lambda profile, cryptos: audio(profile, *cryptos),
    st.sampled_from(["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "TCP/X"]),
    st.lists(CRYPTO_LINES, max_size=4),
)


class TestWhateverIsOffered:
    @given(
        st.lists(AUDIO_LINES, max_size=3),
        st.sampled_from(Encryption),
        st.sets(st.sampled_from(Suite)).map(tuple),
    )
    def test_an_answer_keeps_every_promise_or_there_is_none(
        self, media: list[tuple[str, ...]], encryption: Encryption, suites: tuple[Suite, ...]
    ) -> None:
        offer = [text for part in media for text in part]
        try:
            ours, theirs = answered(*offer, encryption=encryption, suites=suites)
        except PeerError:
            return
        assert len(ours.media) == len(media)
        (taken,) = [line for line in ours.media if line.port]
        lines = [Crypto.parse(value) for value in taken.values("crypto")]
        if theirs.srtp is None:
            assert encryption is not REQUIRE
            assert "SAVP" not in taken.protocol
            assert not lines
            return
        assert encryption is not OFF
        assert theirs.srtp.suite in suites
        ((tag, suite, (key,)),) = [(crypto.tag, crypto.suite, crypto.keys) for crypto in lines]
        assert (suite, key.key_and_salt) == (theirs.srtp.suite, theirs.srtp.send_key)
        assert any(text.startswith(f"a=crypto:{tag} {suite} ") for text in offer)

    def test_a_repr_of_what_was_agreed_shows_no_key(self) -> None:
        ours, theirs = answered(*audio("RTP/SAVP", line()))
        for text in (repr(ours), repr(theirs), repr(replace(theirs, rtp_port=1))):
            assert "inline" not in text
            assert "\\x01" not in text
