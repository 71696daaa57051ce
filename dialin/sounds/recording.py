# SPDX-License-Identifier: GPL-3.0-or-later
"""From a person's recordings to the files that are played: any format in, three codecs out.

ffmpeg reads and encodes; level and silence are `level`'s. It is used by `dialin prompts import`
alone: the service itself needs no ffmpeg.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from dialin.errors import OperatorError
from dialin.events import Codec
from dialin.sounds import LANGUAGE, TONE, PromptId, clip_file, level
from dialin.sounds.ids import TONES

LONGEST_S = 1800
TIMEOUT_S = 120
PASSED_OVER = frozenset({".toml", ".md", ".txt", ".pcmu", ".pcma", ".g722"})
"""Files beside recordings that are none."""
LEAST_DBOV = -45.0
"""What is quieter than this would be mostly noise once it is loud enough."""

_ENCODE = {
    Codec.PCMU: ("-ar", "8000", "-c:a", "pcm_mulaw", "-f", "mulaw"),
    Codec.PCMA: ("-ar", "8000", "-c:a", "pcm_alaw", "-f", "alaw"),
    Codec.G722: ("-ar", "16000", "-c:a", "g722", "-f", "g722"),
}
_MASTER = ("-f", "s16le", "-ar", str(level.MASTER_HZ), "-ac", "1")


@dataclass(frozen=True, slots=True)
class Recording:
    """A file that somebody has recorded, and what it is."""

    file: Path
    prompt: PromptId
    place: str
    """The language it is in, or `tone`."""


def find(folder: Path, language: str | None) -> tuple[Recording, ...]:
    """The recordings in `<folder>/<language>/<prompt>.*`; in `<folder>` itself with a language.

    Raises OperatorError for a file whose name is no prompt's, and where there is nothing.
    """
    if language:
        files = [(file, language) for file in _files(folder)]
    else:
        places = sorted(
            place
            for place in folder.iterdir()
            if place.is_dir() and (place.name == TONE or LANGUAGE.fullmatch(place.name))
        )
        files = [(file, place.name) for place in places for file in _files(place)]
    if not files:
        raise OperatorError(
            f"{folder} holds no recordings.",
            "Lay them into a folder a language, such as de/welcome.wav, or name the --language.",
        )
    found = tuple(_recording(file, place) for file, place in files)
    for one, other in pairwise(found):
        if (one.place, one.prompt) == (other.place, other.prompt):
            raise OperatorError(
                f"{one.file.name} and {other.file.name} are the same prompt.", "Keep one of them."
            )
    return found


def take(recording: Recording, folder: Path) -> float:
    """Convert one recording into an operator's folder; returns its length in seconds.

    Raises OperatorError for a file that cannot be used. A prompt's three files are replaced one
    after another, each at once.
    """
    samples = _shaped(recording, _decoded(recording.file))
    target = folder / recording.place
    try:
        target.mkdir(parents=True, exist_ok=True)
        for codec in Codec:
            clip = clip_file(target / recording.prompt, codec)
            beside = clip.with_name(f".{clip.name}.new")
            beside.write_bytes(_ffmpeg(samples.tobytes(), *_MASTER, "-i", "-", *_ENCODE[codec]))
            os.replace(beside, clip)
    except OSError as error:
        raise OperatorError(
            f"{target} cannot be written: {error.strerror}.", "Mend its rights, or name another."
        ) from None
    return len(samples) / level.MASTER_HZ


def _files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file()
        and not file.name.startswith(".")
        and file.suffix.lower() not in PASSED_OVER
    )


def _recording(file: Path, place: str) -> Recording:
    known = [str(prompt) for prompt in PromptId if (prompt in TONES) == (place == TONE)]
    name = file.stem.lower().replace("_", "-").replace(" ", "-")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        raise OperatorError(
            f"{file} is named like no prompt of {place!r}.",
            f"Did you mean {' or '.join(near)}?" if near else "See `dialin prompts list`.",
        )
    return Recording(file, PromptId(name), place)


def _decoded(file: Path) -> array[int]:
    """The samples of a file at 16 kHz, without what lies below the voice."""
    raw = _ffmpeg(b"", "-i", f"file:{file}", "-t", str(LONGEST_S), "-af", "highpass=f=80", *_MASTER)
    return array("h", raw[: len(raw) // 2 * 2])


def _shaped(recording: Recording, samples: array[int]) -> array[int]:
    found = level.active_level(samples, level.MASTER_HZ)
    if found is None or found < LEAST_DBOV:
        raise OperatorError(
            f"{recording.file} holds next to no sound.", "Record it again, closer and louder."
        )
    if recording.prompt is PromptId.MUSIC:  # it goes round: its ends are the composer's
        music = level.at_level(samples, level.MASTER_HZ, level.MUSIC_DBOV)
        return level.whole_frames(music or samples)
    return level.shaped(samples) or samples


def _ffmpeg(data: bytes, *arguments: str) -> bytes:
    """What ffmpeg makes of its input. Raises OperatorError with its last words."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise OperatorError(
            "ffmpeg is missing, which reads and encodes recordings.",
            "Install it, such as by `apt install ffmpeg`; the service itself does not need it.",
        )
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and files are named as such
            [program, "-v", "error", *arguments, "-"],
            input=data,
            capture_output=True,
            check=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.CalledProcessError as error:
        raise OperatorError(
            f"ffmpeg cannot use it: {_last_words(error.stderr)}.",
            "Save the recording as WAV, and try again.",
        ) from None
    except subprocess.TimeoutExpired:
        raise OperatorError(
            f"ffmpeg took longer than {TIMEOUT_S} s.", "Try again when the machine is idle."
        ) from None
    return done.stdout


def _last_words(stderr: bytes) -> str:
    lines: Sequence[str] = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].rstrip(".") if lines else "it does not say why"
