# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness of what was played must itself be trustworthy."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialin.events import Codec
from dialin.sounds import FRAME_BYTES, PromptId, Prompts
from tests.peers.clips import LANGUAGE, Clips

SILENCE = bytes(FRAME_BYTES)


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    return Clips(tmp_path)


def frames(clips: Clips, prompt: PromptId) -> list[bytes]:
    clip = Prompts([LANGUAGE], [clips.folder]).clip(prompt, LANGUAGE, Codec.PCMA)
    octets = clip.read_bytes()
    return [octets[at : at + FRAME_BYTES] for at in range(0, len(octets), FRAME_BYTES)]


def test_whole_prompts_are_heard_whatever_is_between_them(clips: Clips) -> None:
    welcome, goodbye = frames(clips, PromptId.WELCOME), frames(clips, PromptId.GOODBYE)
    received = [SILENCE, *welcome[:3], SILENCE, *welcome[3:], *goodbye, *goodbye, SILENCE]
    assert clips.heard(received) == ["welcome", "goodbye", "goodbye"]


def test_a_prompt_that_is_cut_off_is_not_whole(clips: Clips) -> None:
    welcome, goodbye = frames(clips, PromptId.WELCOME), frames(clips, PromptId.GOODBYE)
    assert clips.heard([*welcome[:-1], *goodbye]) == ["welcome…", "goodbye"]
    assert clips.heard(welcome[1:]) == ["welcome…"]


def test_a_frame_that_is_lost_doubled_or_out_of_order_is_noticed(clips: Clips) -> None:
    first, second, third, *rest = frames(clips, PromptId.WELCOME)
    for received in (
        [first, third, *rest],
        [first, second, second, third, *rest],
        [first, third, second, *rest],
    ):
        assert clips.heard(received) != ["welcome"]


def test_no_frame_occurs_twice(clips: Clips) -> None:
    every = [frame for prompt in PromptId for frame in frames(clips, prompt)]
    spoken = [frame for frame in every if clips.heard([frame])]
    assert len(set(spoken)) == len(spoken) > 100
