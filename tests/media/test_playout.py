# SPDX-License-Identifier: GPL-3.0-or-later
"""Programmes: clips cut into frames, keys as events, silence in each codec."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dialin.events import Codec
from dialin.media import playout
from dialin.media.messages import CannotDo, Cause
from dialin.media.playout import FRAME_BYTES, SILENCE, KeyPresses, Playout, read_clip
from dialin.wire import g711


def test_silence_is_silent() -> None:
    assert set(g711.ulaw_decode(SILENCE[Codec.PCMU])) == {0}
    assert {abs(sample) for sample in g711.alaw_decode(SILENCE[Codec.PCMA])} == {8}
    assert {len(frame) for frame in SILENCE.values()} == {FRAME_BYTES}


def test_a_clip_is_filled_up_with_the_codecs_silence(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.write_bytes(b"\x01")
    for codec, silence in SILENCE.items():
        assert read_clip(str(clip), codec) == b"\x01" + silence[1:]


def test_a_whole_clip_is_left_as_it_is(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.write_bytes(b"\x01" * 320)
    assert read_clip(str(clip), Codec.PCMU) == b"\x01" * 320


def test_a_clip_that_the_operator_changes_is_read_again(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    for octet in (b"\x01", b"\x02"):
        clip.write_bytes(octet * 160)
        os.utime(clip, ns=(octet[0], octet[0]))
        assert read_clip(str(clip), Codec.PCMU) == octet * 160


@pytest.mark.parametrize("name", ["", "absent", "a\0b"])
def test_what_is_no_file_is_unusable(tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotDo) as refusal:
        read_clip(f"{tmp_path}/{name}", Codec.PCMU)
    assert refusal.value.cause is Cause.CLIP_UNUSABLE


def test_a_clip_without_end_is_unusable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip"
    clip.write_bytes(bytes(1000))
    monkeypatch.setattr(playout, "MAX_CLIP_BYTES", 999)
    with pytest.raises(CannotDo):
        read_clip(str(clip), Codec.PCMU)


def test_no_clips_are_over_before_they_begin() -> None:
    assert Playout((), Codec.PCMU, repeat=True).is_over


def test_no_keys_are_over_before_they_begin() -> None:
    assert KeyPresses("", Codec.PCMU).is_over


def test_what_is_no_key_cannot_be_pressed() -> None:
    with pytest.raises(CannotDo) as refusal:
        KeyPresses("1x", Codec.PCMU)
    assert refusal.value.cause is Cause.NOT_A_KEY
