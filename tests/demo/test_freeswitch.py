# SPDX-License-Identifier: GPL-3.0-or-later
"""FreeSWITCH's manners in SDP, as the conference stand-in has them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dialin.demo.freeswitch import (
    Agreement,
    CryptoInTheClear,
    as_freeswitch,
    without_telephone_events,
)
from dialin.events import Codec
from dialin.wire import sdp
from dialin.wire.encryption import Encryption, EncryptionRequired
from dialin.wire.sdp import LocalMedia, SessionDescription


class TestSdp:
    ANSWER = sdp.offer(LocalMedia("192.0.2.1", 16500, 7, 1), [Codec.PCMU])

    def test_o_names_another_address_than_c_and_rtcp_is_announced(self) -> None:
        text = bytes(as_freeswitch(self.ANSWER)).decode()
        assert "o=FreeSWITCH 7 1 IN IP4 203.0.113.5\r\n" in text
        assert "c=IN IP4 192.0.2.1\r\n" in text
        assert "a=rtcp:16501 IN IP4 192.0.2.1\r\n" in text

    def test_a_refused_line_stays_as_it_is(self) -> None:
        refused = replace(self.ANSWER, media=(replace(self.ANSWER.media[0], port=0),))
        assert as_freeswitch(refused).media == refused.media

    def test_telephone_events_disappear_from_an_offer(self) -> None:
        kept = without_telephone_events(self.ANSWER).media[0]
        assert kept.rtpmap("101") is None
        assert kept.rtpmap("0") is not None
        assert kept.direction == "sendrecv"


class TestAgreement:
    HOST = "192.0.2.1"

    def agreement(self, encryption: Encryption = Encryption.OFF) -> Agreement:
        return Agreement(self.HOST, 16500, dtmf="info", encryption=encryption)

    def offer(
        self, encryption: Encryption = Encryption.OFF, *, opportunistic: bool = False
    ) -> bytes:
        return bytes(
            sdp.offer(
                LocalMedia("192.0.2.9", 4000, 1, 1),
                [Codec.PCMA],
                encryption=encryption,
                new_key=bytes,
                opportunistic=opportunistic,
            )
        )

    def test_there_is_none_before_anything_is_said(self) -> None:
        agreed = self.agreement()
        with pytest.raises(LookupError):
            _ = agreed.remote
        with pytest.raises(LookupError):
            agreed.accept(b"")

    def test_the_same_answer_keeps_its_version_and_another_has_one_more(self) -> None:
        agreed = self.agreement()
        first = agreed.answer(self.offer())
        assert agreed.answer(self.offer()) == first
        held = self.offer().replace(b"sendrecv", b"sendonly")
        version = [
            int(SessionDescription.parse(body).origin.split()[2])
            for body in (first, agreed.answer(held))
        ]
        assert version[1] == version[0] + 1

    def test_keys_in_the_clear_are_refused_whatever_is_wanted(self) -> None:
        offered = self.offer(Encryption.PREFER, opportunistic=True)
        for encryption in Encryption:
            with pytest.raises(CryptoInTheClear):
                self.agreement(encryption).answer(offered)

    def test_srtp_is_taken_only_where_it_is_switched_on(self) -> None:
        with pytest.raises(EncryptionRequired):
            self.agreement().answer(self.offer(Encryption.REQUIRE))
        agreed = self.agreement(Encryption.PREFER)
        agreed.answer(self.offer(Encryption.REQUIRE))
        keys = agreed.remote.srtp
        assert keys is not None
        agreed.answer(self.offer(Encryption.REQUIRE))
        assert agreed.remote.srtp == keys
        agreed.answer(self.offer())
        assert agreed.remote.srtp is None
