# SPDX-License-Identifier: GPL-3.0-or-later
"""The way into a voice conference: what BBB is told, and what becomes of a refusal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.bbb_voice import (
    BbbVoice,
    ConferenceLeg,
    KeyMethod,
    LiveKitTarget,
    VoiceServer,
    require_safe,
)
from dialin.bbb_voice.servers import Bridge
from dialin.errors import OperatorError
from dialin.events import (
    CONFERENCE_REFUSED,
    CONFERENCE_UNREACHABLE,
    INTERNAL_ERROR,
    CallError,
    Codec,
    EndReason,
)
from dialin.media.engine import MediaRefused, NoMediaPort, RemoteNotAllowed
from dialin.rooms import Room
from dialin.sip import LegEnd, LegGone, Refused, TlsTarget
from dialin.wire import sdp
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow
from dialin.wire.sdes import Crypto, Suite
from tests.bbb_voice.parts import ANSWER, FakeSignalling
from tests.fakes.call_parts import FakeEngine, FakeMedia

ROOM = Room("bbb1", "demo", "Demo", "023456789", running=True)
ENCRYPTED = bytes(
    sdp.offer(
        sdp.LocalMedia("192.0.2.50", 16384, 1, 1),
        [Codec.PCMA],
        encryption=Encryption.REQUIRE,
        new_key=bytes,
        suites=(Suite.AES_CM_128_HMAC_SHA1_80,),
    )
)
"""An answer that takes our first line."""


def voice(
    signalling: FakeSignalling,
    engine: FakeEngine,
    *,
    host: str = "192.0.2.50",
    networks: Sequence[str] = (),
    encryption: Encryption = Encryption.OFF,
    suites: tuple[Suite, ...] = tuple(Suite),
) -> BbbVoice:
    server = VoiceServer(host, 5060, "TCP", tuple(networks), encryption)
    return BbbVoice(cast(Any, signalling), cast(Any, engine), {"bbb1": server}, suites=suites)


def livekit(bridge: Bridge = "auto") -> VoiceServer:
    """A server with FreeSWITCH and LiveKit, and keys bound in FreeSWITCH."""
    return VoiceServer(
        "192.0.2.50",
        5060,
        "UDP",
        (),
        mute_keys=KeyMethod.INFO,
        livekit=LiveKitTarget("192.0.2.60", 5062, "TCP", ("192.0.2.60",)),
        bridge=bridge,
    )


async def join(
    way: BbbVoice,
    room: Room = ROOM,
    label: str = "xxx-xxx-0594",
    silence_s: float | None = None,
) -> ConferenceLeg:
    return await way.join(
        room,
        label=label,
        pseudonym="314159265358979",
        codec=Codec.PCMA,
        beside=cast(Any, FakeMedia()),
        silence_s=silence_s,
    )


async def test_the_conference_is_called_by_its_number_under_label_and_pseudonym() -> None:
    signalling, engine = FakeSignalling(), FakeEngine(FakeMedia())
    seat = await join(voice(signalling, engine))
    assert signalling.uri == "sip:023456789@192.0.2.50:5060"
    assert signalling.flow == Flow("TCP", "192.0.2.50", 5060)
    assert signalling.arguments["from_display"] == "xxx-xxx-0594"
    assert signalling.arguments["from_user"] == "314159265358979"
    assert not signalling.arguments.get("headers")
    assert engine.leg.started
    assert seat.ended is signalling.leg.ended


async def test_one_codec_is_offered_so_that_nothing_is_transcoded_and_keys_on_101() -> None:
    signalling = FakeSignalling()
    await join(voice(signalling, FakeEngine(FakeMedia())))
    offer = sdp.SessionDescription.parse(signalling.arguments["offer"])
    assert offer.media[0].formats == ("8", "101")


async def test_leaving_hangs_up_and_frees_the_port_however_often_it_is_asked() -> None:
    signalling, engine = FakeSignalling(), FakeEngine(FakeMedia())
    seat = await join(voice(signalling, engine))
    await seat.leave()
    await seat.leave()
    assert signalling.leg.hung_up
    assert engine.leg.closed


@pytest.mark.parametrize(
    ("networks", "allowed"), [((), ("192.0.2.50",)), (("192.0.2.0/24",), ("192.0.2.0/24",))]
)
async def test_audio_comes_from_the_server_or_the_networks_named_for_it(
    networks: Sequence[str], allowed: Sequence[str]
) -> None:
    engine = FakeEngine(FakeMedia())
    await join(voice(FakeSignalling(), engine, networks=networks))
    assert engine.opened == [("192.0.2.1", allowed)]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Refused(480), CONFERENCE_REFUSED),
        (Refused(404), CONFERENCE_REFUSED),
        (Refused(407), CONFERENCE_REFUSED),
        (Refused(603), CONFERENCE_REFUSED),
        (Refused(408), CONFERENCE_UNREACHABLE),
        (Refused(500), CONFERENCE_UNREACHABLE),
        (Refused(503), CONFERENCE_UNREACHABLE),
        (LegGone(LegEnd("lost", None, "transaction-timeout")), CONFERENCE_UNREACHABLE),
        (b"v=0\r\nnonsense", CONFERENCE_REFUSED),
    ],
    ids=str,
)
async def test_a_seat_that_is_not_had_leaves_neither_leg_nor_port(
    outcome: bytes | Exception, reason: EndReason
) -> None:
    signalling, engine = FakeSignalling(outcome), FakeEngine(FakeMedia())
    with pytest.raises(CallError) as error:
        await join(voice(signalling, engine))
    assert error.value.reason is reason
    assert signalling.leg.hung_up
    assert engine.leg.closed
    assert not engine.leg.started


@pytest.mark.parametrize("encryption", [Encryption.PREFER, Encryption.REQUIRE])
async def test_encrypted_audio_is_offered_as_srtp_and_nothing_else(encryption: Encryption) -> None:
    signalling, media = FakeSignalling(ENCRYPTED), FakeMedia()
    suites = (Suite.AES_CM_128_HMAC_SHA1_80,)
    seat = await join(voice(signalling, FakeEngine(media), encryption=encryption, suites=suites))
    assert signalling.profiles == ["RTP/SAVP"]
    [line] = signalling.offers[0].media[0].values("crypto")
    assert Crypto.parse(line).suite is Suite.AES_CM_128_HMAC_SHA1_80
    assert media.started
    # FreeSWITCH asks now and then if we are still there: nothing of it changes.
    again = sdp.SessionDescription.parse(signalling.leg.on_reoffer(ENCRYPTED) or b"")
    assert again.media[0].values("crypto") == (line,)
    await seat.leave()


async def test_a_server_without_srtp_is_called_again_in_the_clear_where_that_will_do() -> None:
    signalling, engine = FakeSignalling(Refused(488), ANSWER), FakeEngine(FakeMedia())
    seat = await join(voice(signalling, engine, encryption=Encryption.PREFER))
    assert signalling.profiles == ["RTP/SAVP", "RTP/AVP"]
    assert not signalling.offers[1].media[0].values("crypto")
    assert seat.sip is cast(Any, signalling.legs[1])
    assert engine.opened == [("192.0.2.1", ("192.0.2.50",))]
    assert len(engine.leg.settings) == 1
    assert not signalling.legs[1].hung_up


async def test_only_a_refusal_of_the_offer_is_tried_in_the_clear() -> None:
    signalling = FakeSignalling(Refused(480), ANSWER)
    with pytest.raises(CallError):
        await join(voice(signalling, FakeEngine(FakeMedia()), encryption=Encryption.PREFER))
    assert signalling.profiles == ["RTP/SAVP"]


@pytest.mark.parametrize("outcome", [Refused(488), ANSWER], ids=str)
async def test_what_must_be_encrypted_is_never_in_the_clear(outcome: bytes | Exception) -> None:
    signalling, engine = FakeSignalling(outcome, ANSWER), FakeEngine(FakeMedia())
    with pytest.raises(CallError) as error:
        await join(voice(signalling, engine, encryption=Encryption.REQUIRE))
    assert error.value.reason is CONFERENCE_REFUSED
    assert signalling.profiles == ["RTP/SAVP"]
    assert signalling.legs[0].hung_up
    assert not engine.leg.settings


async def test_a_server_that_refuses_twice_has_refused() -> None:
    signalling, engine = FakeSignalling(Refused(488), Refused(488)), FakeEngine(FakeMedia())
    with pytest.raises(CallError) as error:
        await join(voice(signalling, engine, encryption=Encryption.PREFER))
    assert error.value.reason is CONFERENCE_REFUSED
    assert engine.leg.closed


async def test_media_follows_the_conference_until_the_leg_is_lost() -> None:
    signalling, media = FakeSignalling(), FakeMedia()
    seat = await join(voice(signalling, FakeEngine(media)))
    following = asyncio.create_task(seat.follow())
    signalling.leg.on_reoffer(ANSWER.replace(b"m=audio 16384", b"m=audio 16386"))
    while len(media.settings) < 2:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    assert media.settings[1].remote_rtp_port == 16386
    media.refuses = MediaRefused("worker-lost")
    signalling.leg.on_reoffer(ANSWER)
    await following


async def test_a_conference_that_goes_where_no_media_may_go_is_left() -> None:
    signalling, media = FakeSignalling(), FakeMedia()
    seat = await join(voice(signalling, FakeEngine(media)))
    media.refuses = RemoteNotAllowed("elsewhere")
    signalling.leg.on_reoffer(ANSWER.replace(b"m=audio 16384", b"m=audio 16386"))
    with pytest.raises(CallError) as error:
        await seat.follow()
    assert error.value.reason is CONFERENCE_REFUSED


async def test_giving_up_while_the_server_rings_gives_the_seat_back() -> None:
    signalling, engine = FakeSignalling(), FakeEngine(FakeMedia())
    joining = asyncio.create_task(join(voice(signalling, engine)))
    while not signalling.uri:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    assert signalling.leg.hung_up
    assert engine.leg.closed


async def test_no_port_is_told_as_such() -> None:
    with pytest.raises(NoMediaPort):
        await join(voice(FakeSignalling(), FakeEngine(FakeMedia(), is_full=True)))


async def test_servers_are_known_by_their_addresses_once_looked_up() -> None:
    way = voice(FakeSignalling(), FakeEngine(FakeMedia()), host="localhost")
    assert not way.knows("127.0.0.1")
    await way.look_up()
    assert way.knows("127.0.0.1") or way.knows("::1")
    assert not way.knows("192.0.2.50")


async def test_a_server_whose_name_does_not_resolve_is_unreachable_and_hinders_no_start() -> None:
    way = voice(FakeSignalling(), FakeEngine(FakeMedia()), host="bbb.invalid")
    await way.look_up()
    with pytest.raises(CallError) as error:
        await join(way)
    assert error.value.reason is CONFERENCE_UNREACHABLE


async def test_servers_that_are_read_anew_count_from_the_next_call_on() -> None:
    signalling = FakeSignalling(ANSWER, ANSWER)
    way = voice(signalling, FakeEngine(FakeMedia()))
    await join(way)
    await way.change({"bbb1": VoiceServer("192.0.2.51", 5070, "UDP", ())})
    assert way.knows("192.0.2.51")
    await join(way)
    assert signalling.uri == "sip:023456789@192.0.2.51:5070"
    await way.change({})
    with pytest.raises(CallError) as error:
        await join(way)
    assert error.value.reason is CONFERENCE_UNREACHABLE


async def test_a_server_has_to_prove_its_name_where_that_name_leads() -> None:
    signalling = FakeSignalling()
    target = TlsTarget("localhost")
    server = VoiceServer("localhost", 5061, "TLS", (), tls=target)
    way = BbbVoice(cast(Any, signalling), cast(Any, FakeEngine(FakeMedia())), {"bbb1": server})
    await join(way)
    assert signalling.trusted == [("127.0.0.1", 5061, target)]
    assert signalling.flow == Flow("TLS", "127.0.0.1", 5061)


@pytest.mark.parametrize("silence_s", [None, 4.0])
async def test_how_long_a_seat_may_be_silent_is_the_callers_choice(
    silence_s: float | None,
) -> None:
    engine = FakeEngine(FakeMedia())
    await voice(FakeSignalling(), engine).join(
        ROOM,
        label="xxx-xxx-0594",
        pseudonym="314159265358979",
        codec=Codec.PCMA,
        beside=cast(Any, FakeMedia()),
        silence_s=silence_s,
    )
    assert engine.timeout_s == silence_s


async def test_a_meeting_on_livekit_is_called_there_under_its_label() -> None:
    signalling, engine = FakeSignalling(), FakeEngine(FakeMedia())
    way = BbbVoice(cast(Any, signalling), cast(Any, engine), {"bbb1": livekit()})
    room = replace(ROOM, audio_bridge="livekit")
    seat = await join(way, room, label="xxx-xxx-0594 (2)", silence_s=4.0)
    assert signalling.uri == "sip:023456789@192.0.2.60:5062"
    assert signalling.flow == Flow("TCP", "192.0.2.60", 5062)
    assert signalling.arguments["from_display"] == "xxx-xxx-0594 (2)"
    assert signalling.arguments["from_user"] == "xxx-xxx-0594-2"
    assert engine.opened == [("192.0.2.1", ("192.0.2.60",))]
    assert not seat.can_mute_in_bbb
    assert engine.timeout_s is None
    assert not way.knows("192.0.2.50")
    await way.look_up()
    assert way.knows("192.0.2.50")


async def test_an_ipv6_server_is_written_in_brackets() -> None:
    signalling = FakeSignalling()
    await join(voice(signalling, FakeEngine(FakeMedia()), host="2001:db8::5"))
    assert signalling.uri == "sip:023456789@[2001:db8::5]:5060"


@pytest.mark.parametrize(
    "label",
    [
        "x_1-bbbID-y",
        "w-bbbID-x",
        "bbbID",
        "GLOBAL_AUDIO_1",
        "LISTENONLY",
        "listenonly 1",
        "%2DbbbID%2D",
        "xxx\r\nVia: x",
        "xxx\u202e0594",
        'a"b',
        "<sip:x>",
        "",
        " ",
        "anonymous",
        "Private",
        "0000000000",
        "x" * 33,
        "xxx-xxx-٠٥٩٤",
        "...",
    ],
)
async def test_a_name_that_bbb_could_misread_goes_nowhere(label: str) -> None:
    signalling = FakeSignalling()
    with pytest.raises(CallError) as error:
        await join(voice(signalling, FakeEngine(FakeMedia())), label=label)
    assert error.value.reason is INTERNAL_ERROR
    assert not signalling.uri


@pytest.mark.parametrize("bridge", ["1234", "123456789012", "12345a", "٠١٢٣٤", "1234\n", ""])
async def test_only_what_bbb_takes_for_a_conference_is_called(bridge: str) -> None:
    with pytest.raises(CallError):
        require_safe(bridge, "xxx-xxx-0594", "314159265358979")


@pytest.mark.parametrize("pseudonym", ["", "anonymous", "+4915738620594", "12345", "0000000000"])
async def test_only_a_pseudonym_stands_where_the_number_would(pseudonym: str) -> None:
    with pytest.raises(CallError):
        require_safe("12345", "xxx-xxx-0594", pseudonym)


@given(st.text(max_size=40))
def test_whatever_passes_the_gate_is_made_of_the_label_alphabet(label: str) -> None:
    try:
        require_safe("12345", label, "314159265358979")
    except CallError:
        return
    assert re.fullmatch(r"[A-Za-z0-9 ().-]{1,32}", label)
    assert not re.search("bbbid|global_audio|listenonly", label, re.IGNORECASE)


async def test_servers_that_change_count_from_the_next_call_on() -> None:
    signalling = FakeSignalling(ANSWER, ANSWER)
    way = voice(signalling, FakeEngine(FakeMedia()))
    seat = await join(way)
    await way.change({"bbb1": VoiceServer("192.0.2.70", 5080, "UDP", ())})
    assert way.knows("192.0.2.70")
    assert way.knows("192.0.2.50"), "the seat that is taken is there still"
    await join(way)
    assert signalling.uri == "sip:023456789@192.0.2.70:5080"
    await seat.leave()


async def test_a_server_that_is_gone_takes_no_more_callers() -> None:
    way = voice(FakeSignalling(), FakeEngine(FakeMedia()))
    await way.change({})
    with pytest.raises(CallError) as error:
        await join(way)
    assert error.value.reason is CONFERENCE_UNREACHABLE


async def test_an_early_answer_readies_the_media_and_the_last_one_has_the_last_word() -> None:
    """FreeSWITCH with `start_dtmf` sends 183 with SDP before its 200."""
    signalling, media = FakeSignalling(), FakeMedia()
    signalling.leg.rings_s = 0.1
    signalling.leg.early.put_nowait(ANSWER.replace(b"m=audio 16384", b"m=audio 16400"))
    joining = asyncio.create_task(join(voice(signalling, FakeEngine(media))))
    while not media.settings:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    assert not joining.done()
    assert media.settings[0].remote_rtp_port == 16400
    await joining
    assert media.settings[-1].remote_rtp_port == 16384


async def test_a_server_that_no_socket_of_ours_can_call_is_told_of_and_unreachable(
    caplog: pytest.LogCaptureFixture,
) -> None:
    signalling, engine = FakeSignalling(), FakeEngine(FakeMedia())

    def nowhere(flow: Flow) -> str:
        raise OperatorError("nothing listens for UDP.", "Add an address.")

    signalling.local_host_for = nowhere  # type: ignore[method-assign]
    with pytest.raises(CallError) as error:
        await join(voice(signalling, engine))
    assert error.value.reason is CONFERENCE_UNREACHABLE
    assert "cannot be called" in caplog.text
    assert not engine.opened
