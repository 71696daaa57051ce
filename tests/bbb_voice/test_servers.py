# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a room is called, and by which name: FreeSWITCH or LiveKit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.bbb_voice import KeyMethod, LiveKitTarget, VoiceServer
from dialin.bbb_voice.servers import Bridge, user_part
from dialin.rooms import Room

LIVEKIT = LiveKitTarget("192.0.2.60", 5062, "UDP", ())
SERVER = VoiceServer(
    "192.0.2.50", 5060, "UDP", (), mute_keys=KeyMethod.RFC4733, livekit=LIVEKIT, bridge="auto"
)
ROOM = Room("bbb1", "demo", "Demo", "023456789", running=True)


@pytest.mark.parametrize(
    ("bridge", "audio_bridge", "is_livekit"),
    [
        ("auto", "", False),
        ("auto", "bbb-webrtc-sfu", False),
        ("auto", "freeswitch", False),
        ("auto", "livekit", True),
        ("freeswitch", "livekit", False),
        ("livekit", "", True),
        ("livekit", "bbb-webrtc-sfu", True),
    ],
)
def test_the_setting_says_where_or_else_the_meeting(
    bridge: Bridge, audio_bridge: str, is_livekit: bool
) -> None:
    server, room = replace(SERVER, bridge=bridge), replace(ROOM, audio_bridge=audio_bridge)
    assert server.target_for(room) is (LIVEKIT if is_livekit else server)
    assert server.keys_for(room) is (KeyMethod.OFF if is_livekit else KeyMethod.RFC4733)


def test_without_a_livekit_all_is_freeswitchs() -> None:
    server = replace(SERVER, livekit=None)
    assert server.target_for(replace(ROOM, audio_bridge="livekit")) is server
    assert server.targets == (server,)
    assert SERVER.targets == (SERVER, LIVEKIT)


@pytest.mark.parametrize(
    ("label", "user"),
    [
        ("xxx-xxx-0594", "xxx-xxx-0594"),
        ("xxx-xxx-0594 (2)", "xxx-xxx-0594-2"),
        ("Phone caller 1", "Phone-caller-1"),
        ("Telefon ...1234", "Telefon-1234"),
        ("(x)", "x"),
        ("..", ""),
    ],
)
def test_a_label_is_made_a_user_part(label: str, user: str) -> None:
    assert user_part(label) == user
    assert LIVEKIT.from_user(label, "314159265358979") == user
    assert SERVER.from_user(label, "314159265358979") == "314159265358979"


@given(st.text(max_size=40))
def test_a_user_part_needs_no_escapes(label: str) -> None:
    assert re.fullmatch(r"([A-Za-z0-9]+(-[A-Za-z0-9]+)*)?", user_part(label))
