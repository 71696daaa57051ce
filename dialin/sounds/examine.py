# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what callers hear is whole and sounds as it should: built-in prompts and operators' own.

Everything is measured on the A-law clip, which most callers hear. How well the words are understood
is measured by `scripts/render-prompts --hear` and stands in the manifests.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dialin.events import Codec
from dialin.sounds import (
    FRAME_BYTES,
    PACKAGE,
    PromptId,
    Prompts,
    clip_file,
    level,
    manifest,
)
from dialin.sounds.ids import LANGUAGE_CHOICES, TONES
from dialin.wire import g711
from dialin.wire.tone import RATE_HZ
from dialin.wire.tones import ToneDigits

ANEW = "Install dialin anew, or say `dialin prompts rebuild` in a source tree."
OWN = "Record it again, or let `dialin prompts import` convert it."
LEVEL_TOLERANCE_DB = 3.0
LONGEST_LEAD_S = 0.3
LONGEST_TRAIL_S = 0.6
CLIPPED = 32_000
"""A-law has no greater value but its greatest."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a caller hears for a prompt."""

    prompt: PromptId
    language: str
    """The language that was asked for."""
    stem: Path
    """Its files without the codec."""
    duration_s: float

    @property
    def is_ours(self) -> bool:
        """Whether it comes with dialin, and not from the operator's folder."""
        return self.stem.parent.parent == PACKAGE

    @property
    def place(self) -> str:
        """The language it is in, or `tone`."""
        return self.stem.parent.name

    @property
    def is_stand_in(self) -> bool:
        """Whether it is another prompt, or in another language."""
        is_elsewhere = self.prompt not in TONES and self.place != self.language
        return is_elsewhere or self.stem.name != self.prompt

    @property
    def text(self) -> str:
        """Its words; of an operator's own recording those it is meant to say."""
        entry = manifest.read(PACKAGE / self.place).entries.get(self.prompt)
        return entry.text if entry else ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a prompt."""

    where: str
    """`language/prompt`."""
    cause: str
    remedy: str
    is_grave: bool = True
    """False where callers still hear what they should."""


def spoken(prompts: Prompts, languages: Sequence[str]) -> Iterator[Spoken]:
    """All that callers of these languages may hear; tones once, with the first."""
    for language in languages:
        for prompt in PromptId:
            if prompt in TONES and language != languages[0]:
                continue
            clip = prompts.clip(prompt, language, Codec.PCMA)
            duration_s = clip.stat().st_size / FRAME_BYTES / level.FRAMES_PER_S
            yield Spoken(prompt, language, clip.with_suffix(""), duration_s)


def faults(one: Spoken, languages: int) -> Iterator[Fault]:
    """What is wrong with one prompt. `languages` is the most that a number offers."""
    where = f"{one.place if one.prompt in TONES else one.language}/{one.prompt}"
    if one.is_stand_in:
        if one.prompt in LANGUAGE_CHOICES[max(1, languages) :]:
            return  # no number offers so many
        yield Fault(
            where,
            f"There is no such prompt: callers hear {one.place}/{one.stem.name}.",
            "Record it, and put it into ivr.prompt_folder.",
        )
        return
    problems = [*_files(one), *_sound(one)]
    remedy = ANEW if one.is_ours else OWN
    yield from (Fault(where, cause, remedy, is_grave) for cause, is_grave in problems)


def _files(one: Spoken) -> Iterator[tuple[str, bool]]:
    """What is wrong with the files as files."""
    clips = {codec: clip_file(one.stem, codec) for codec in Codec}
    if len({clip.stat().st_size for clip in clips.values()}) > 1:
        yield "Its files last differently long.", True
    if not one.is_ours:
        return
    entry = manifest.read(one.stem.parent).entries.get(one.prompt)
    if entry is None:
        yield "The manifest does not know it.", True
        return
    for codec, clip in clips.items():
        if hashlib.sha256(clip.read_bytes()).hexdigest() != entry.clip_sha256[codec]:
            yield f"Its {codec} file is not the one that was made.", True
    if hashlib.sha256(entry.text.encode()).hexdigest() != entry.text_sha256:
        yield "It was made from another text.", True


def _sound(one: Spoken) -> Iterator[tuple[str, bool]]:
    """What is wrong with its sound."""
    samples = g711.alaw_decode(clip_file(one.stem, Codec.PCMA).read_bytes())
    found = level.active_level(samples, RATE_HZ)
    bounds = level.edges(samples, RATE_HZ)
    if found is None or bounds is None:
        yield "It is silent.", True
        return
    is_music = one.prompt is PromptId.MUSIC
    wanted = level.MUSIC_DBOV if is_music else level.SPEECH_DBOV
    if abs(found - wanted) > LEVEL_TOLERANCE_DB:
        yield f"Its level is {found:.0f} dBov in place of {wanted:.0f}.", False
    if max(map(abs, samples)) >= CLIPPED:
        yield "It is overdriven.", False
    if not is_music:
        lead_s, trail_s = bounds[0] / RATE_HZ, (len(samples) - bounds[1]) / RATE_HZ
        if lead_s > LONGEST_LEAD_S or trail_s > LONGEST_TRAIL_S:
            yield f"It has {lead_s:.1f} s of silence before it and {trail_s:.1f} s behind.", False
    entry = manifest.read(PACKAGE / one.place).entries.get(one.prompt)
    if entry and one.duration_s > entry.limit_s:
        yield f"It lasts {one.duration_s:.1f} s, and {entry.limit_s:.1f} s is too long.", False
    if keys := _keys(samples):
        yield f"Its echo would be taken for the keys {' '.join(keys)}.", True


def _keys(samples: array[int]) -> list[str]:
    """The keys that a machine hears in it."""
    octets, keys = g711.alaw_encode(samples), ToneDigits(Codec.PCMA)
    frames = (octets[start : start + 160] for start in range(0, len(octets), 160))
    return [key for frame in frames for key in keys.feed(frame)]
