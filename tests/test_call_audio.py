# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call agrees on about its audio: offers taken, refused, and changed in mid-call."""

from __future__ import annotations

import secrets

import pytest

from dialin import events
from dialin.events import Codec, EndReason
from dialin.media.engine import RemoteNotAllowed
from dialin.registry import CallState
from dialin.wire import sdp
from dialin.wire.encryption import Encryption
from tests.fakes.call_parts import OFFER, FakeLeg
from tests.fakes.call_scene import call

pytestmark = pytest.mark.looptime

ENCRYPTED = bytes(
    sdp.offer(
        sdp.LocalMedia("192.0.2.9", 4000, 1, 1),
        [Codec.PCMA],
        encryption=Encryption.REQUIRE,
        new_key=secrets.token_bytes,
    )
)
"""A caller's offer of SRTP."""


async def test_without_an_offer_ours_is_made_and_the_ack_brings_the_answer() -> None:
    answer = bytes(sdp.offer(sdp.LocalMedia("192.0.2.9", 4000, 1, 1), [Codec.PCMU]))
    async with call(leg=FakeLeg(None, ack_sdp=answer)) as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        assert b"G722" in scene.leg.answers[0]
        assert scene.media.settings[0].codec is Codec.PCMU


async def test_an_ack_that_owes_an_answer_and_has_none_ends_the_call() -> None:
    async with call(leg=FakeLeg(None)) as scene:
        assert await scene.ended() is events.BAD_OFFER
        assert scene.leg.hung_up


@pytest.mark.parametrize(
    ("offer", "status", "reason"),
    [
        (OFFER.replace(b"PCMA/8000", b"G729/8000"), 488, events.NO_COMMON_CODEC),
        (OFFER.replace(b"RTP/AVP", b"RTP/SAVP"), 488, events.NO_COMMON_ENCRYPTION),
        (b"this is no session description", 400, events.BAD_OFFER),
    ],
)  # fmt: skip
async def test_an_offer_that_leads_nowhere_is_refused(
    offer: bytes, status: int, reason: EndReason
) -> None:
    async with call(leg=FakeLeg(offer)) as scene:
        assert await scene.ended() is reason
        [(answered, _, warning)] = scene.leg.rejected
        assert answered == status
        assert warning
        assert not scene.leg.answers


@pytest.mark.parametrize(
    ("encryption", "offer", "says"),
    [
        (Encryption.OFF, ENCRYPTED, "switched off"),
        (Encryption.PREFER, OFFER.replace(b"RTP/AVP", b"RTP/SAVP"), "no key and suite"),
        (Encryption.REQUIRE, OFFER, "must be encrypted"),
    ],
)
async def test_audio_that_is_not_encrypted_as_it_should_be_is_refused_with_the_reason(
    encryption: Encryption, offer: bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with call(leg=FakeLeg(offer), encryption=encryption) as scene:
        assert await scene.ended() is events.NO_COMMON_ENCRYPTION
        [(status, _, warning)] = scene.leg.rejected
        assert status == 488
        assert says in str(warning)
        assert says in caplog.text


async def test_encrypted_audio_is_shown_as_such_for_as_long_as_it_is() -> None:
    async with call(leg=FakeLeg(ENCRYPTED), encryption=Encryption.PREFER) as scene:
        await scene.until(lambda: scene.record.state is CallState.PIN)
        assert scene.record.snapshot().encrypted
        assert scene.leg.on_reoffer(OFFER)
        await scene.until(lambda: not scene.record.snapshot().encrypted, within_s=1)


async def test_media_follows_what_the_provider_changes_in_mid_call() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        assert scene.leg.on_reoffer(OFFER.replace(b"m=audio 4000", b"m=audio 4010"))
        await scene.until(lambda: scene.media.settings[-1].remote_rtp_port == 4010, within_s=1)
        assert not scene.media.settings[-1].in_band_digits
        assert scene.record.state is CallState.IN_ROOM


async def test_media_follows_what_the_conference_changes_in_mid_call() -> None:
    async with call() as scene:
        scene.media.keys("123456789#")
        await scene.in_room()
        [seat] = scene.voice.seats
        await seat.audio.take_call(FakeLeg(OFFER))
        answering = FakeLeg()
        seat.audio.attend(answering)
        assert answering.on_reoffer(OFFER.replace(b"m=audio 4000", b"m=audio 4010"))
        await scene.until(lambda: len(seat.media.settings) == 2, within_s=1)


async def test_a_change_to_where_no_media_may_go_ends_the_call() -> None:
    async with call() as scene:
        await scene.until(lambda: scene.record.state is CallState.PIN)
        scene.media.refuses = RemoteNotAllowed("elsewhere")
        assert scene.leg.on_reoffer(OFFER.replace(b"m=audio 4000", b"m=audio 4010"))
        assert await scene.ended() is events.BAD_OFFER
        assert scene.leg.hung_up
