# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts of an operator's own, short and unmistakable: every frame of every clip is another one.

So what a caller received says which prompts were played, in which order, and whether each of them
was played to its last frame.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dialin.events import Codec
from dialin.sounds import FRAME_BYTES, TONE, TONES, PromptId

LANGUAGE = "en"
SHORTEST_FRAMES = 8
"""Clips differ in length by a frame each, so that none can pass for another."""
CUT = "…"
"""Stands after a prompt that was not played from its first frame to its last."""


KNOWN = tuple(prompt for prompt in PromptId if prompt is not PromptId.MUSIC)
"""What is recognised. Music is not: it goes on and on between all else."""


class Clips:
    """A folder of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """For the setting `ivr.prompt_folder`."""
        self._length: dict[PromptId, int] = {
            prompt: SHORTEST_FRAMES + place for place, prompt in enumerate(KNOWN)
        }
        self._places: dict[bytes, tuple[PromptId, int]] = {}
        for place in (LANGUAGE, TONE):
            (folder / place).mkdir(parents=True)
        for prompt, length in self._length.items():
            frames = frames_of(str(prompt), length)
            self._places |= {frame: (prompt, nth) for nth, frame in enumerate(frames)}
            self._write(prompt, frames)
        self._music = frames_of(PromptId.MUSIC, SHORTEST_FRAMES)
        self._write(PromptId.MUSIC, self._music)

    def _write(self, prompt: PromptId, frames: list[bytes]) -> None:
        place = TONE if prompt in TONES else LANGUAGE
        for codec in Codec:
            (self.folder / place / f"{prompt}.{codec.lower()}").write_bytes(b"".join(frames))

    @property
    def settings(self) -> dict[str, Any]:
        """What a service needs to play these and no others."""
        return {
            "service": {"languages": [LANGUAGE]},
            "ivr": {"prompt_folder": str(self.folder)},
        }

    def heard(self, payloads: Iterable[bytes]) -> list[str]:
        """The prompts in what was received, in their order; those cut off end with an ellipsis.

        Anything else between them, such as silence or other people, is passed over.
        """
        runs: list[tuple[PromptId, list[int]]] = []
        for payload in payloads:
            if payload not in self._places:
                continue
            prompt, place = self._places[payload]
            if not runs or runs[-1][0] is not prompt or runs[-1][1][-1] + 1 != place:
                runs.append((prompt, []))
            runs[-1][1].append(place)
        return [
            str(prompt) if places == list(range(self._length[prompt])) else f"{prompt}{CUT}"
            for prompt, places in runs
        ]

    def plays_music(self, payloads: Iterable[bytes]) -> bool:
        """Whether the music was heard, from its end on into its beginning."""
        return b"".join(self._music[-1:] + self._music) in b"".join(payloads)


def frames_of(name: str, count: int) -> list[bytes]:
    """Frames that are the same for the same name, and else occur nowhere."""
    source = random.Random(name)  # noqa: S311 - known octets are the point
    return [source.randbytes(FRAME_BYTES) for _ in range(count)]
