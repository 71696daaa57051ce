# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way of signalling with every way of carrying audio, and either side that hangs up."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.fakes.authority import Authority
from tests.lab.bench import lab
from tests.lab.exchange import Offer
from tests.lab.providers import BERLIN, SECOND, Provider, usual

[_, FORM, _] = usual(BERLIN)


def provider(transport: str, profile: str) -> Provider:
    """Somebody who calls from an address of its own."""
    network = [f"{SECOND}/32"]
    return Provider(
        "generic",
        (FORM,),
        Offer(profile),
        host="sip.provider.example",
        user="customer",
        redirected={
            "mode": "peer",
            "transport": transport,
            "allow_insecure_sdes": True,
            "allowed_sources": network,
            "media_networks": network,
        },
    )


@pytest.mark.parametrize("hangs_up", ["caller", "room"])
@pytest.mark.parametrize("profile", ["RTP/AVP", "RTP/SAVP"])
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_call_reaches_the_room_is_heard_hears_and_ends(
    transport: str,
    profile: str,
    hangs_up: Literal["caller", "room"],
    tmp_path: Path,
    authority: Authority,
) -> None:
    async with (
        lab(provider(transport, profile), tmp_path, authority) as bench,
        bench.call(FORM) as call,
    ):
        assert (await call.dial()).status == 200
        member = await bench.in_room(call)
        assert member.reading.name == FORM.label
        assert (await bench.shown())["encrypted"] is (profile == "RTP/SAVP")
        await bench.room_hears(call, member)
        await bench.call_hears(call)
        if hangs_up == "caller":
            await call.hang_up()
        else:
            bench.world.bbb.end_room("demo")
            await call.is_hung_up_on()
        await bench.is_over()
        end = "left-room" if hangs_up == "caller" else "meeting-ended"
        assert await bench.world.ends() == {f"success/{end}": 1}
