# SPDX-License-Identifier: GPL-3.0-or-later
"""What a leg's two ends agree on: at its beginning, and whenever the far end wants a change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any, cast

import pytest

from dialin.errors import PeerError
from dialin.events import Codec
from dialin.media.engine import LegSettings, RemoteNotAllowed
from dialin.negotiation import Negotiation, Terms
from dialin.sip import Refused
from dialin.wire import sdp
from dialin.wire.encryption import Encryption
from dialin.wire.sdes import Crypto, Suite
from tests.fakes.call_parts import FakeMedia

CODECS = (Codec.G722, Codec.PCMA)
OFF, PREFER, REQUIRE = Encryption


class Leg:
    """A call to us, and what is said on it."""

    def __init__(self, offer: bytes | None, ack: bytes | None = None) -> None:
        self.offer = offer
        self.answers: list[bytes] = []
        self.on_reoffer: Callable[[bytes | None], bytes | None] = lambda offer: b""
        self.on_reanswer: Callable[[bytes], None] = lambda answer: None
        self._ack = ack

    async def answer(self, sdp: bytes) -> bytes | None:
        self.answers.append(sdp)
        return self._ack


class StrictMedia(FakeMedia):
    """Media that may go to one host only."""

    async def configure(self, settings: LegSettings) -> None:
        if settings.remote_host != "192.0.2.9":
            raise RemoteNotAllowed("elsewhere")
        await super().configure(settings)


def keys_from(first: int) -> Callable[[int], bytes]:
    """Keys by number."""
    numbers = count(first)
    return lambda octets: next(numbers).to_bytes(octets)


def negotiation(
    encryption: Encryption = OFF, *, media: FakeMedia | None = None, codecs: Any = CODECS
) -> Negotiation:
    terms = Terms(codecs, encryption, in_band_digits=True)
    return Negotiation(
        cast(Any, media or FakeMedia()), "192.0.2.1", terms, new_key=keys_from(first=1)
    )


def theirs(
    *codecs: Codec,
    port: int = 4000,
    encryption: Encryption = OFF,
    first_key: int = 100,
    host: str = "192.0.2.9",
) -> bytes:
    """An offer of theirs."""
    local = sdp.LocalMedia(host, port, 9, 1)
    description = sdp.offer(
        local, codecs or CODECS, encryption=encryption, new_key=keys_from(first_key)
    )
    return bytes(description)


def read(body: bytes | None) -> sdp.SessionDescription:
    return sdp.SessionDescription.parse(body or b"")


def version(body: bytes | None) -> int:
    return int(read(body).origin.split()[2])


def cryptos(body: bytes | None) -> list[Crypto]:
    return [Crypto.parse(value) for value in read(body).media[0].values("crypto")]


class TestCallsToUs:
    async def test_their_offer_is_answered_and_media_knows_before_they_do(self) -> None:
        media, leg = FakeMedia(), Leg(theirs())
        remote = await negotiation(media=media).take_call(leg)
        assert (remote.codec, remote.srtp) == (Codec.G722, None)
        [settings] = media.settings
        assert (settings.remote_rtp_port, settings.codec) == (4000, Codec.G722)
        assert settings.in_band_digits
        assert read(leg.answers[0]).media[0].port == media.rtp_port
        assert read(leg.answers[0]).connection == "192.0.2.1"

    async def test_where_media_may_not_go_nothing_is_answered(self) -> None:
        leg = Leg(theirs(host="203.0.113.1"))
        with pytest.raises(RemoteNotAllowed):
            await negotiation(media=StrictMedia()).take_call(leg)
        assert not leg.answers

    async def test_without_an_offer_ours_is_made_and_the_ack_answers_it(self) -> None:
        leg = Leg(None, ack=theirs(Codec.PCMA))
        remote = await negotiation().take_call(leg)
        assert read(leg.answers[0]).media[0].formats == ("9", "8", "101")
        assert remote.codec is Codec.PCMA

    async def test_an_ack_without_the_answer_that_it_owes(self) -> None:
        with pytest.raises(PeerError):
            await negotiation().take_call(Leg(None))

    async def test_srtp_is_answered_with_a_key_of_the_calls_own(self) -> None:
        leg = Leg(theirs(encryption=REQUIRE))
        remote = await negotiation(PREFER).take_call(leg)
        assert remote.srtp is not None
        assert remote.srtp.send_key == (1).to_bytes(44)
        assert cryptos(leg.answers[0])[0].keys[0].key_and_salt == remote.srtp.send_key

    async def test_what_is_required_is_not_done_without(self) -> None:
        leg = Leg(theirs())
        with pytest.raises(sdp.EncryptionRequired):
            await negotiation(REQUIRE).take_call(leg)
        assert not leg.answers

    @pytest.mark.parametrize(
        ("encryption", "profile"), [(OFF, "RTP/AVP"), (PREFER, "RTP/AVP"), (REQUIRE, "RTP/SAVP")]
    )
    async def test_a_late_offer_loses_no_call_over_a_mere_wish(
        self, encryption: Encryption, profile: str
    ) -> None:
        leg = Leg(None, ack=theirs())
        try:
            remote = await negotiation(encryption).take_call(leg)
        except sdp.EncryptionUnusable:
            assert encryption is REQUIRE
        else:
            assert remote.srtp is None
        assert read(leg.answers[0]).media[0].protocol == profile
        assert bool(cryptos(leg.answers[0])) is (encryption is not OFF)

    async def test_only_suites_of_the_media_plane_are_spoken_of(self) -> None:
        suite = Suite.AES_CM_128_HMAC_SHA1_80
        terms = Terms(CODECS, PREFER, (suite,))
        leg = Leg(theirs(encryption=REQUIRE))
        talks = Negotiation(cast(Any, FakeMedia()), "192.0.2.1", terms)
        assert [crypto.suite for crypto in cryptos(talks.offer())] == [suite]
        remote = await talks.take_call(leg)
        assert remote.srtp is not None
        assert remote.srtp.suite is suite

    async def test_unless_told_otherwise_keys_are_random(self) -> None:
        terms = Terms(CODECS, PREFER)
        offers = [Negotiation(cast(Any, FakeMedia()), "::1", terms).offer() for _ in range(2)]
        keys = {crypto.keys[0].key_and_salt for offer in offers for crypto in cryptos(offer)}
        assert len(keys) == 8


class TestCallsFromUs:
    async def test_their_answer_settles_it(self) -> None:
        media = FakeMedia()
        talks = negotiation(PREFER, media=media)
        answer, _ = sdp.answer(
            read(talks.offer()),
            sdp.LocalMedia("192.0.2.9", 4000, 9, 1),
            CODECS,
            encryption=PREFER,
            new_key=keys_from(100),
        )
        remote = await talks.accept(bytes(answer))
        assert remote.srtp is not None
        assert remote.srtp.receive_key == (100).to_bytes(44)
        assert [settings.remote_rtp_port for settings in media.settings] == [4000]

    async def test_an_answer_that_does_not_fit(self) -> None:
        talks = negotiation(PREFER)
        talks.offer()
        with pytest.raises(sdp.EncryptionUnusable):
            await talks.accept(theirs())


class TestMidCall:
    @staticmethod
    async def begun(
        encryption: Encryption = OFF, offer: bytes | None = None, media: FakeMedia | None = None
    ) -> tuple[Leg, Negotiation]:
        leg = Leg(offer or theirs(encryption=encryption))
        talks = negotiation(encryption, media=media)
        await talks.take_call(leg)
        return leg, talks

    @staticmethod
    def has_changed(talks: Negotiation) -> bool:
        return not talks._changes.empty()

    @pytest.mark.parametrize("encryption", [OFF, REQUIRE])
    async def test_a_refresh_is_answered_alike_and_changes_nothing(
        self, encryption: Encryption
    ) -> None:
        leg, talks = await self.begun(encryption)
        assert leg.on_reoffer(leg.offer) == leg.answers[0]
        assert not self.has_changed(talks)

    async def test_a_new_key_of_theirs_begins_both_directions_anew(self) -> None:
        leg, talks = await self.begun(REQUIRE)
        answer = leg.on_reoffer(theirs(encryption=REQUIRE, first_key=200))
        remote = await talks.changed()
        assert remote.srtp is not None
        assert remote.srtp.receive_key == (200).to_bytes(44)
        assert remote.srtp.send_key == (2).to_bytes(44)
        assert cryptos(answer)[0].keys[0].key_and_salt == remote.srtp.send_key
        assert version(answer) == version(leg.answers[0]) + 1
        assert leg.on_reoffer(theirs(encryption=REQUIRE, first_key=200)) == answer

    async def test_media_follows_to_a_new_port(self) -> None:
        media = FakeMedia()
        leg, talks = await self.begun(media=media)
        assert leg.on_reoffer(theirs(port=5000))
        assert (await talks.changed()).rtp_port == 5000
        assert media.settings[-1].remote_rtp_port == 5000

    async def test_of_two_changes_at_once_none_is_lost_and_the_later_one_stays(self) -> None:
        media = FakeMedia()
        leg, talks = await self.begun(media=media)
        leg.on_reoffer(theirs(port=5000))
        leg.on_reoffer(theirs(port=6000))
        await talks.changed()
        await talks.changed()
        assert media.settings[-1].remote_rtp_port == 6000
        leg.on_reoffer(theirs(port=6000))
        assert not self.has_changed(talks)

    async def test_media_that_may_not_go_there_is_told(self) -> None:
        leg, talks = await self.begun(media=StrictMedia())
        leg.on_reoffer(theirs(host="203.0.113.1"))
        with pytest.raises(RemoteNotAllowed):
            await talks.changed()

    async def test_hold_and_resume(self) -> None:
        media = FakeMedia()
        leg, talks = await self.begun(media=media)
        assert b"a=recvonly" in (
            leg.on_reoffer(theirs().replace(b"a=sendrecv", b"a=sendonly")) or b""
        )
        await talks.changed()
        assert not media.settings[-1].sends
        leg.on_reoffer(theirs())
        await talks.changed()
        assert media.settings[-1].sends

    async def test_hold_without_an_address_sends_media_nowhere_new(self) -> None:
        media = FakeMedia()
        leg, talks = await self.begun(media=media)
        leg.on_reoffer(theirs(host="0.0.0.0"))
        await talks.changed()
        assert (media.settings[-1].remote_host, media.settings[-1].sends) == ("192.0.2.9", False)

    @pytest.mark.parametrize(
        "offer",
        [
            b"no session description",
            theirs(Codec.PCMA, encryption=REQUIRE),
            theirs(),
        ],
    )
    async def test_what_cannot_be_taken_is_refused_and_the_session_stays(
        self, offer: bytes
    ) -> None:
        """Another codec would need transcoding; and SRTP that is required is not given up."""
        leg, talks = await self.begun(REQUIRE)
        assert leg.on_reoffer(offer) is None
        assert not self.has_changed(talks)
        assert leg.on_reoffer(leg.offer) == leg.answers[0]

    async def test_who_wants_our_offer_gets_what_we_said_and_answers_it(self) -> None:
        leg, talks = await self.begun(REQUIRE)
        offer = leg.on_reoffer(None)
        assert read(offer).media == read(leg.answers[0]).media
        answer = theirs(encryption=REQUIRE, port=5000)
        leg.on_reanswer(answer)
        remote = await talks.changed()
        assert (remote.rtp_port, remote.codec) == (5000, Codec.G722)
        assert remote.srtp is not None
        assert remote.srtp.send_key == (1).to_bytes(44)

    async def test_an_answer_of_no_use_leaves_the_session_as_it_is(self) -> None:
        leg, talks = await self.begun()
        leg.on_reoffer(None)
        leg.on_reanswer(b"nonsense")
        assert not self.has_changed(talks)

    async def test_a_call_of_ours_answers_with_the_one_key_in_use(self) -> None:
        leg, talks = Leg(None), negotiation(PREFER)
        ours = talks.offer()
        assert len(cryptos(ours)) == 4
        answer, _ = sdp.answer(
            read(ours),
            sdp.LocalMedia("192.0.2.9", 4000, 9, 1),
            CODECS,
            encryption=PREFER,
            new_key=keys_from(100),
        )
        remote = await talks.accept(bytes(answer))
        talks.attend(leg)
        again = leg.on_reoffer(bytes(answer))
        [crypto] = cryptos(again)
        assert remote.srtp is not None
        assert crypto.keys[0].key_and_salt == remote.srtp.send_key
        assert not self.has_changed(talks)
        assert len(cryptos(leg.on_reoffer(None))) == 1

    async def test_an_offer_that_overtakes_their_answer_is_refused(self) -> None:
        leg, talks = Leg(None), negotiation()
        talks.offer()
        talks.attend(leg)
        assert leg.on_reoffer(theirs(port=5000)) is None
        assert (await talks.accept(theirs())).rtp_port == 4000

    async def test_whoever_waits_for_a_change_waits(self) -> None:
        _, talks = await self.begun()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(talks.changed(), 0.01)


# Whom we call


class CalledLeg:
    """A call from us, and what is answered before and at its end."""

    def __init__(self) -> None:
        self.on_reoffer: Callable[[bytes | None], bytes | None] = lambda offer: b""
        self.on_reanswer: Callable[[bytes], None] = lambda answer: None
        self.early: asyncio.Queue[bytes] = asyncio.Queue()
        self.last: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def early_media(self) -> bytes:
        return await self.early.get()

    async def answered(self) -> bytes:
        return await self.last


def ports(media: FakeMedia) -> list[int]:
    """Where the media leg was told that the far end is."""
    return [settings.remote_rtp_port for settings in media.settings]


async def test_an_early_answer_readies_the_media_before_the_call_is_taken() -> None:
    media, leg = FakeMedia(), CalledLeg()
    audio = negotiation(media=media)
    audio.offer()
    agreeing = asyncio.create_task(audio.agree(leg))
    leg.early.put_nowait(theirs(Codec.PCMA, port=4000))
    await asyncio.sleep(0.1)
    assert ports(media) == [4000]
    assert not agreeing.done()
    leg.last.set_result(theirs(Codec.PCMA, port=4000))
    remote = await agreeing
    assert (remote.codec, remote.rtp_port) == (Codec.PCMA, 4000)
    assert set(ports(media)) == {4000}


async def test_the_last_answer_has_the_last_word() -> None:
    media, leg = FakeMedia(), CalledLeg()
    audio = negotiation(media=media)
    audio.offer()
    agreeing = asyncio.create_task(audio.agree(leg))
    leg.early.put_nowait(theirs(Codec.PCMA, port=4000))
    leg.early.put_nowait(theirs(Codec.G722, port=4002))
    await asyncio.sleep(0.1)
    leg.last.set_result(theirs(Codec.PCMA, port=4004))
    assert (await agreeing).codec is Codec.PCMA
    assert ports(media) == [4000, 4002, 4004]


async def test_an_early_answer_that_cannot_be_used_ends_nothing() -> None:
    media, leg = StrictMedia(), CalledLeg()
    audio = negotiation(media=media)
    audio.offer()
    agreeing = asyncio.create_task(audio.agree(leg))
    leg.early.put_nowait(b"nonsense")
    leg.early.put_nowait(theirs(Codec.PCMA, host="203.0.113.66"))
    await asyncio.sleep(0.1)
    leg.last.set_result(theirs(Codec.PCMA, port=4004))
    await agreeing
    assert ports(media) == [4004]


async def test_a_refusal_is_told_and_nobody_waits_for_early_media_any_more() -> None:
    leg = CalledLeg()
    audio = negotiation()
    audio.offer()
    agreeing = asyncio.create_task(audio.agree(leg))
    await asyncio.sleep(0)
    leg.last.set_exception(Refused(486))
    with pytest.raises(Refused):
        await agreeing
    assert len(asyncio.all_tasks()) == 1


async def test_who_stops_waiting_leaves_nobody_behind() -> None:
    leg = CalledLeg()
    audio = negotiation()
    audio.offer()
    agreeing = asyncio.create_task(audio.agree(leg))
    await asyncio.sleep(0)
    agreeing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agreeing
    assert len(asyncio.all_tasks()) == 1
