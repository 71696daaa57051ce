# SPDX-License-Identifier: GPL-3.0-or-later
"""Legs as the story of a call sees them."""

from __future__ import annotations

import asyncio

import pytest

from dialin.sip import LegEnd, LegGone, OutgoingLeg, Refused
from dialin.wire.flow import Flow
from tests.fakes.sip_peers import UdpPeer
from tests.sipbench import Bench, caller_at, opened, talking
from tests.wire.peers import ANSWER, NEW_OFFER, OFFER, answer_to, called_request


async def call_out(bench: Bench, peer: UdpPeer, answer_within_s: float = 60.0) -> OutgoingLeg:
    """A call from us to the peer."""
    return await bench.sip.invite(
        "sip:12345@127.0.0.1",
        Flow("UDP", peer.host, peer.port),
        from_display="xxx-xxx-5678",
        from_user="712345678901234",
        offer=OFFER,
        headers=[("X-Kept", "yes")],
        answer_within_s=answer_within_s,
    )


async def test_a_late_offer_is_answered_by_the_ack() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            peer.send(caller.invite(b""), bench.address())
            leg = await bench.call()
            assert leg.offer is None
            answering = asyncio.create_task(leg.answer(OFFER, headers=[("X-Kept", "yes")]))
            ok = await peer.response()
            assert (ok.body, ok.headers.get("X-Kept")) == (OFFER, "yes")
            caller.to_tag = ok.to.tag
            peer.send(caller.ack(body=ANSWER), bench.address())
            assert await answering == ANSWER


async def test_early_media_is_sent_with_183() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            peer.send(caller_at(peer).invite(), bench.address())
            leg = await bench.call()
            leg.progress(ANSWER)
            progress = await peer.response()
            assert (progress.status, progress.body) == (183, ANSWER)


async def test_a_rejection_says_when_and_why() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            peer.send(caller_at(peer).invite(), bench.address())
            leg = await bench.call()
            leg.reject(503, retry_after_s=17, warning="no common codec")
            refused = await peer.response()
            assert refused.status == 503
            assert refused.headers.get("Retry-After") == "17"
            assert refused.headers.get("Warning") == '399 dialin "no common codec"'
            assert leg.ended.result() == LegEnd("us", 503, "rejected")
            leg.reject(486)
            leg.hang_up()
            with pytest.raises(LegGone):
                await leg.answer(ANSWER)


@pytest.mark.parametrize("when", ["before", "during"])
async def test_a_caller_who_gives_up_is_gone(when: str) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            peer.send(caller.invite(), bench.address())
            leg = await bench.call()
            if when == "before":
                peer.send(caller.cancel(), bench.address())
                assert {(await peer.response()).status for _ in range(2)} == {200, 487}
                answering = asyncio.create_task(leg.answer(ANSWER))
            else:
                answering = asyncio.create_task(leg.answer(ANSWER))
                caller.to_tag = (await peer.response()).to.tag
                peer.send(caller.request("BYE", 2), bench.address())
            with pytest.raises(LegGone) as caught:
                await answering
            assert caught.value.end.by == "peer"
            assert caught.value.end.cause == ("cancel" if when == "before" else "bye")


async def test_a_session_that_is_refreshed_stays_as_it_was() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            await talking(bench, peer, caller)
            peer.send(caller.invite(NEW_OFFER, 2), bench.address())
            ok = await peer.response()
            assert (ok.status, ok.body) == (200, OFFER)  # what `talking` answered with


async def test_a_changed_session_is_answered_by_the_callback_and_remembered() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            leg = await talking(bench, peer, caller)
            offers: list[bytes | None] = []
            default = leg.on_reoffer

            def answer(offer: bytes | None) -> bytes:
                offers.append(offer)
                return ANSWER

            leg.on_reoffer = answer
            update = caller.request("UPDATE", 2, [("Contact", caller.contact)], NEW_OFFER)
            peer.send(update, bench.address())
            assert (await peer.response()).body == ANSWER
            assert offers == [NEW_OFFER]
            leg.on_reoffer = default
            update = caller.request("UPDATE", 3, [("Contact", caller.contact)], NEW_OFFER)
            peer.send(update, bench.address())
            assert (await peer.response()).body == ANSWER


async def test_a_change_that_is_refused_is_488() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            leg = await talking(bench, peer, caller)
            leg.on_reoffer = lambda _offer: None
            peer.send(caller.invite(NEW_OFFER, 2), bench.address())
            assert (await peer.response()).status == 488
            assert not leg.ended.done()


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_an_offer_that_the_peer_asked_for_is_answered_in_the_ack(is_wanted: bool) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            leg = await talking(bench, peer, caller)
            answers: list[bytes] = []
            if is_wanted:
                leg.on_reanswer = answers.append
            peer.send(caller.invite(b"", 2), bench.address())
            assert (await peer.response()).body == OFFER
            peer.send(caller.ack(2, NEW_OFFER), bench.address())
            await bench.in_step(peer)
            assert answers == ([NEW_OFFER] if is_wanted else [])


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_keys_that_come_by_info(is_wanted: bool) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            leg = await talking(bench, peer, caller)
            keys: list[str] = []
            if is_wanted:
                leg.on_info_digit = keys.append
            for cseq, key in enumerate("7#", 2):
                lines = [("Content-Type", "application/dtmf-relay")]
                info = caller.request("INFO", cseq, lines, f"Signal={key}\r\n".encode())
                peer.send(info, bench.address())
                assert (await peer.response()).status == 200
            assert keys == (["7", "#"] if is_wanted else [])


async def test_equal_keys_that_come_by_info_at_once_are_all_pressed() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            caller = caller_at(peer)
            leg = await talking(bench, peer, caller)
            keys: list[str] = []
            leg.on_info_digit = keys.append
            lines = [("Content-Type", "application/dtmf-relay")]
            for cseq, key in enumerate("7755#", 2):
                info = caller.request("INFO", cseq, lines, f"Signal={key}\r\n".encode())
                peer.send(info, bench.address())
            for _ in range(5):
                assert (await peer.response()).status == 200
            assert "".join(keys) == "7755#"


async def test_a_call_from_us_is_answered() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await call_out(bench, peer)
            assert leg.local_host == "127.0.0.1"
            invite = await peer.request()
            assert invite.headers.get("X-Kept") == "yes"
            contact = ("Contact", f"<sip:room@127.0.0.1:{peer.port};transport=UDP>")
            peer.send(answer_to(invite, 183, [contact], NEW_OFFER), bench.address())
            peer.send(answer_to(invite, 180, [contact]), bench.address())
            peer.send(answer_to(invite, 200, [contact], ANSWER), bench.address())
            assert await leg.answered() == ANSWER
            assert leg.early == NEW_OFFER
            ack = await peer.request()
            assert (ack.method, ack.uri) == (
                "ACK",
                f"sip:room@127.0.0.1:{peer.port};transport=UDP",
            )
            reinvite = called_request(invite, "INVITE", 1, [contact], NEW_OFFER)
            peer.send(
                reinvite.replace(b"203.0.113.5:5060", b"127.0.0.1:%d" % peer.port), bench.address()
            )
            assert (await peer.response()).body == OFFER
            leg.hang_up()


@pytest.mark.parametrize("status", [401, 407, 404, 480, 486, 503])
async def test_a_call_from_us_is_refused(status: int) -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await call_out(bench, peer)
            invite = await peer.request()
            challenge = ("Proxy-Authenticate", 'Digest realm="a,b", nonce="n", qop="auth,auth-int"')
            refusal = answer_to(invite, status, [challenge])
            peer.send(refusal, bench.address())
            with pytest.raises(Refused) as caught:
                await leg.answered()
            assert caught.value.status == status
            assert str(caught.value) == f"the call was refused with {status}"
            assert leg.ended.result() == LegEnd("peer", status, "rejected")
            ack = await peer.request()
            assert (ack.method, ack.via.branch) == ("ACK", invite.via.branch)
            peer.send(refusal, bench.address())  # the ACK was lost
            assert (await peer.request()).method == "ACK"


async def test_a_call_from_us_is_not_answered_in_time() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await call_out(bench, peer, answer_within_s=0.05)
            invite = await peer.request()
            peer.send(answer_to(invite, 180), bench.address())
            with pytest.raises(LegGone) as caught:
                await leg.answered()
            assert caught.value.end == LegEnd("us", None, "no-answer")
            while (request := await peer.request()).method != "CANCEL":
                pass
            peer.send(answer_to(request, 200), bench.address())
            peer.send(answer_to(invite, 487), bench.address())
            assert (await peer.request()).method == "ACK"


async def test_nobody_answers_at_all() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await call_out(bench, peer)
            with pytest.raises(LegGone) as caught:
                await leg.answered()
            assert caught.value.end == LegEnd("lost", 408, "transaction-timeout")


async def test_a_call_from_us_is_hung_up_while_it_rings() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await call_out(bench, peer)
            invite = await peer.request()
            peer.send(answer_to(invite, 180), bench.address())
            await bench.in_step(peer)
            leg.hang_up()
            leg.hang_up()
            assert (await peer.request()).method == "CANCEL"
            assert leg.ended.result() == LegEnd("us", None, "cancel")


async def test_the_called_side_hangs_up() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await call_out(bench, peer)
            invite = await peer.request()
            peer.send(answer_to(invite, 200, [], ANSWER), bench.address())
            await leg.answered()
            bye = called_request(invite, "BYE")
            peer.send(bye, bench.address())
            assert await leg.ended == LegEnd("peer", None, "bye")


async def talking_out(bench: Bench, peer: UdpPeer) -> OutgoingLeg:
    """A call from us that is answered and acknowledged."""
    leg = await call_out(bench, peer)
    contact = ("Contact", f"<sip:room@127.0.0.1:{peer.port};transport=UDP>")
    peer.send(answer_to(await peer.request(), 200, [contact], ANSWER), bench.address())
    await leg.answered()
    assert (await peer.request()).method == "ACK"
    return leg


async def test_keys_go_by_info_each_when_the_one_before_is_taken() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await talking_out(bench, peer)
            for key in "*61":
                pressing = asyncio.create_task(leg.send_info_digit(key))
                info = await peer.request()
                assert info.body.startswith(f"Signal={key}\r\n".encode())
                assert not pressing.done()
                peer.send(answer_to(info, 200, tag=None), bench.address())
                await pressing


async def test_a_key_that_the_called_side_does_not_take() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await talking_out(bench, peer)
            pressing = asyncio.create_task(leg.send_info_digit("6"))
            peer.send(answer_to(await peer.request(), 415, tag=None), bench.address())
            with pytest.raises(Refused):
                await pressing


async def test_who_stops_waiting_for_a_key_does_not_confuse_the_next() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await talking_out(bench, peer)
            impatient = asyncio.create_task(leg.send_info_digit("1"))
            first = await peer.request()
            impatient.cancel()
            pressing = asyncio.create_task(leg.send_info_digit("2"))
            second = await peer.request()
            peer.send(answer_to(first, 415, tag=None), bench.address())
            peer.send(answer_to(second, 200, tag=None), bench.address())
            await pressing


async def test_a_key_is_lost_with_its_leg() -> None:
    async with opened() as bench:
        with UdpPeer() as peer:
            leg = await talking_out(bench, peer)
            pressing = asyncio.create_task(leg.send_info_digit("1"))
            await peer.request()
            leg.hang_up()
            with pytest.raises(LegGone):
                await pressing
            with pytest.raises(LegGone):
                await leg.send_info_digit("1")
