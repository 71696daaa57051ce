# SPDX-License-Identifier: GPL-3.0-or-later
"""What callers hear: every shipped file is the text it claims to be, and there is always a file."""

from __future__ import annotations

import hashlib
import math
import shutil
import subprocess
import tomllib
import wave
from array import array
from collections.abc import Sequence
from functools import cache
from operator import mul
from pathlib import Path
from typing import Any

import pytest

from dialin.errors import OperatorError
from dialin.events import Codec
from dialin.sounds import (
    FRAME_BYTES,
    PACKAGE,
    SPOKEN,
    TONE,
    TONES,
    PromptId,
    Prompts,
    how_many,
)
from dialin.wire import g711
from dialin.wire.tones import ToneDigits

LANGUAGES = ("de", "en")
RATE = 16_000
FRAME = RATE // 50
SUFFIXES = ("wav", "pcmu", "pcma", "g722")
NOT_RECORDED = frozenset(SPOKEN[SPOKEN.index(PromptId.LANGUAGE_1) :]) | set(TONES[1:])
"""What has no sound of its own and falls back to the beep: to be empty before a release."""
RECORDED = [prompt for prompt in SPOKEN if prompt not in NOT_RECORDED]
SHIPPED = [(place, prompt) for place in LANGUAGES for prompt in RECORDED] + [
    (TONE, prompt) for prompt in TONES if prompt not in NOT_RECORDED
]
each_shipped = pytest.mark.parametrize(("place", "prompt"), SHIPPED)


@cache
def manifest(place: str) -> dict[str, Any]:
    return tomllib.loads((PACKAGE / place / "manifest.toml").read_text("utf-8"))


def file(place: str, prompt: PromptId, suffix: str) -> Path:
    return PACKAGE / place / f"{prompt}.{suffix}"


@cache
def master(place: str, prompt: PromptId) -> array[int]:
    with wave.open(str(file(place, prompt, "wav")), "rb") as recording:
        return array("h", recording.readframes(recording.getnframes()))


def decibels(power: float) -> float:
    """Against a full-scale square wave (dBov, ITU-T G.100.1)."""
    return 10 * math.log10(max(power, 1) / 32768**2)


def frame_powers(samples: Sequence[int], width: int) -> list[float]:
    frames = (samples[start : start + width] for start in range(0, len(samples), width))
    return [sum(map(mul, frame, frame)) / width for frame in frames]


def active_level(samples: Sequence[int], width: int) -> float:
    """The level while somebody speaks: frames above it less the 15.9 dB of ITU-T P.56."""
    active = [power for power in frame_powers(samples, width) if decibels(power) > -60]
    while True:
        level = decibels(sum(active) / len(active))
        louder = [power for power in active if decibels(power) > level - 15.9]
        if len(louder) == len(active):
            return level
        active = louder


def sounding(samples: Sequence[int]) -> tuple[int, int]:
    """The first and the last sample that can be heard at all."""
    audible = [index for index, sample in enumerate(samples) if abs(sample) > 8]
    return audible[0], audible[-1]


class TestShippedFiles:
    def test_each_place_holds_its_prompts_and_nothing_else(self) -> None:
        for place in (*LANGUAGES, TONE):
            prompts = [prompt for owner, prompt in SHIPPED if owner == place]
            expected = {f"{prompt}.{suffix}" for prompt in prompts for suffix in SUFFIXES}
            found = {path.name for path in (PACKAGE / place).iterdir()}
            assert found == expected | {"manifest.toml"}
            assert set(manifest(place)["prompts"]) == set(prompts)
            assert manifest(place)["language"] == place

    @each_shipped
    def test_audio_was_rendered_from_the_text_of_today(self, place: str, prompt: PromptId) -> None:
        entry = manifest(place)["prompts"][prompt]
        assert hashlib.sha256(entry["text"].encode()).hexdigest() == entry["text_sha256"]

    @each_shipped
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_file_is_the_one_the_manifest_describes(
        self, place: str, prompt: PromptId, suffix: str
    ) -> None:
        found = hashlib.sha256(file(place, prompt, suffix).read_bytes()).hexdigest()
        assert found == manifest(place)["prompts"][prompt][f"{suffix}_sha256"]

    @each_shipped
    def test_master_is_16_khz_mono_pcm16_in_whole_frames(
        self, place: str, prompt: PromptId
    ) -> None:
        with wave.open(str(file(place, prompt, "wav")), "rb") as recording:
            form = recording.getframerate(), recording.getnchannels(), recording.getsampwidth()
            length = recording.getnframes()
        assert form == (RATE, 1, 2)
        assert length % FRAME == 0
        entry = manifest(place)["prompts"][prompt]
        assert entry["duration_s"] == round(length / RATE, 2)
        assert entry["duration_s"] <= entry["limit_s"]

    @each_shipped
    def test_speech_is_at_minus_22_dbov_and_does_not_clip(
        self, place: str, prompt: PromptId
    ) -> None:
        samples = master(place, prompt)
        assert active_level(samples, FRAME) == pytest.approx(-22, abs=2)
        assert max(map(abs, samples)) < 0.9 * 32768

    @each_shipped
    def test_silence_before_and_behind_is_short_and_clean(
        self, place: str, prompt: PromptId
    ) -> None:
        samples = master(place, prompt)
        first, last = sounding(samples)
        assert 0.050 <= first / RATE <= 0.100
        assert 0.150 <= (len(samples) - 1 - last) / RATE <= 0.250

    @each_shipped
    def test_clips_last_as_long_as_the_master(self, place: str, prompt: PromptId) -> None:
        frames = len(master(place, prompt)) // FRAME
        sizes = {file(place, prompt, codec.lower()).stat().st_size for codec in Codec}
        assert sizes == {frames * FRAME_BYTES}

    @each_shipped
    def test_both_g711_clips_say_what_the_master_says(self, place: str, prompt: PromptId) -> None:
        ulaw = g711.ulaw_decode(file(place, prompt, "pcmu").read_bytes())
        alaw = g711.alaw_decode(file(place, prompt, "pcma").read_bytes())
        level = active_level(master(place, prompt), FRAME)
        assert active_level(ulaw, FRAME // 2) == pytest.approx(level, abs=1)
        difference = [one - other for one, other in zip(ulaw, alaw, strict=True)]
        noise = decibels(sum(map(mul, difference, difference)) / len(difference))
        assert noise < level - 25
        assert max(map(abs, ulaw[-800:] + ulaw[:200])) <= 40
        assert max(map(abs, alaw[-800:] + alaw[:200])) <= 40

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to decode G.722")
    @each_shipped
    def test_g722_clip_says_what_the_master_says(self, place: str, prompt: PromptId) -> None:
        decode = ["-f", "g722", "-i", str(file(place, prompt, "g722")), "-f", "s16le", "-"]
        done = subprocess.run(
            ["ffmpeg", "-loglevel", "error", *decode], check=True, capture_output=True, timeout=30
        )
        decoded = array("h", done.stdout)
        assert len(decoded) == len(master(place, prompt))
        wanted = active_level(master(place, prompt), FRAME)
        assert active_level(decoded, FRAME) == pytest.approx(wanted, abs=1)

    @each_shipped
    def test_echo_of_a_prompt_is_never_taken_for_a_key(self, place: str, prompt: PromptId) -> None:
        clip = file(place, prompt, "pcmu").read_bytes()
        keys = ToneDigits(Codec.PCMU)
        frames = (clip[start : start + 160] for start in range(0, len(clip), 160))
        assert [key for frame in frames for key in keys.feed(frame)] == []


class TestManifests:
    @pytest.mark.parametrize("place", [*LANGUAGES, TONE])
    def test_tells_how_and_under_which_rights_the_audio_was_made(self, place: str) -> None:
        render = manifest(place)["render"]
        for fact in ("engine", "engine_version", "voice", "licence", "settings"):
            assert render[fact], fact

    @pytest.mark.parametrize(("place", "limit_percent"), [("en", 3), ("de", 8)])
    def test_words_are_understood_after_a_telephone_line(
        self, place: str, limit_percent: float
    ) -> None:
        heard = manifest(place)["intelligibility"]
        entries = manifest(place)["prompts"].values()
        assert heard["word_errors"] == sum(entry["word_errors"] for entry in entries)
        assert heard["wer_percent"] == round(100 * heard["word_errors"] / heard["words"], 1)
        assert heard["wer_percent"] <= limit_percent
        assert all(entry["word_errors"] <= len(entry["text"].split()) / 4 for entry in entries)

    def test_german_says_what_survives_a_telephone_line(self) -> None:
        texts = {name: entry["text"] for name, entry in manifest("de")["prompts"].items()}
        for prompt in (PromptId.ENTER_PIN, PromptId.TRY_AGAIN):
            assert "Konferenz-Nummer" in texts[prompt]
            assert texts[prompt].endswith("die Raute-Taste.")
        for weak in ("PIN", "ungültig", "stummgeschaltet"):
            assert not any(weak in text for text in texts.values()), weak


def put(folder: Path, language: str, prompt: PromptId, *codecs: Codec, frames: int = 1) -> None:
    """Lay a recording of `frames` frames into an operator's folder."""
    (folder / language).mkdir(parents=True, exist_ok=True)
    for codec in codecs or Codec:
        clip = folder / language / f"{prompt}.{codec.lower()}"
        clip.write_bytes(bytes(FRAME_BYTES * frames))


class TestChoice:
    @pytest.mark.parametrize("codec", Codec)
    @pytest.mark.parametrize("prompt", [p for p in PromptId if p not in NOT_RECORDED])
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_every_prompt_is_there_in_both_languages_and_all_codecs(
        self, language: str, prompt: PromptId, codec: Codec
    ) -> None:
        clip = Prompts(LANGUAGES).clip(prompt, language, codec)
        place = TONE if prompt in TONES else language
        assert clip == PACKAGE / place / f"{prompt}.{codec.lower()}"
        assert clip.is_file()

    @pytest.mark.parametrize("language", [None, "", "fr", "tone", "../en"])
    def test_unknown_language_means_the_default(self, language: str | None) -> None:
        clip = Prompts(["en", "de"]).clip(PromptId.WELCOME, language, Codec.PCMA)
        assert clip.parent.name == "en"

    def test_operators_recording_wins_over_ours_and_ours_fills_the_rest(
        self, tmp_path: Path
    ) -> None:
        put(tmp_path, "de", PromptId.WELCOME)
        prompts = Prompts(LANGUAGES, [tmp_path])
        own = tmp_path / "de" / "welcome.g722"
        assert prompts.clip(PromptId.WELCOME, "de", Codec.G722) == own
        assert prompts.clip(PromptId.WELCOME, "en", Codec.G722).parent == PACKAGE / "en"
        assert prompts.clip(PromptId.GOODBYE, "de", Codec.G722).parent == PACKAGE / "de"

    def test_first_of_several_folders_wins(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            put(tmp_path / name, "en", PromptId.WELCOME)
        prompts = Prompts(["en"], [tmp_path / "first", tmp_path / "second"])
        clip = prompts.clip(PromptId.WELCOME, "en", Codec.PCMU)
        assert clip == tmp_path / "first" / "en" / "welcome.pcmu"

    def test_what_a_language_lacks_is_said_in_the_next_language(self, tmp_path: Path) -> None:
        put(tmp_path, "fr", PromptId.WELCOME)
        prompts = Prompts(["fr", "de", "en"], [tmp_path])
        assert prompts.clip(PromptId.WELCOME, "fr", Codec.PCMU).parent == tmp_path / "fr"
        assert prompts.clip(PromptId.JOINING, "fr", Codec.PCMU).parent == PACKAGE / "de"
        assert ("fr", PromptId.JOINING) in prompts.gaps
        assert ("fr", PromptId.WELCOME) not in prompts.gaps
        spoken = [gap for gap in prompts.gaps if gap[1] in SPOKEN]
        assert len(spoken) == 3 * len(SPOKEN) - 1 - 2 * len(RECORDED)

    def test_what_no_language_has_is_a_tone_and_never_silence(self, tmp_path: Path) -> None:
        put(tmp_path, "fr", PromptId.WELCOME)
        prompts = Prompts(["fr"], [tmp_path])
        assert prompts.clip(PromptId.JOINING, "fr", Codec.PCMA) == PACKAGE / TONE / "beep.pcma"

    def test_operator_may_replace_the_tone(self, tmp_path: Path) -> None:
        put(tmp_path, TONE, PromptId.BEEP)
        prompts = Prompts(["en"], [tmp_path])
        clip = prompts.clip(PromptId.BEEP, "en", Codec.PCMA)
        assert clip == tmp_path / TONE / "beep.pcma"

    def test_a_language_never_offers_another(self, tmp_path: Path) -> None:
        put(tmp_path, "de", PromptId.LANGUAGE_2)
        put(tmp_path, "fr", PromptId.WELCOME)
        prompts = Prompts(["de", "fr"], [tmp_path])
        offer = prompts.clip(PromptId.LANGUAGE_2, "de", Codec.PCMA)
        assert offer == tmp_path / "de" / "language-2.pcma"
        beep = PACKAGE / TONE / "beep.pcma"
        assert prompts.clip(PromptId.LANGUAGE_2, "fr", Codec.PCMA) == beep
        assert ("fr", PromptId.LANGUAGE_2) in prompts.gaps

    def test_our_languages_have_no_gaps_but_those_listed(self) -> None:
        gaps = {prompt for _, prompt in Prompts(LANGUAGES).gaps}
        assert gaps == NOT_RECORDED

    @pytest.mark.parametrize(
        ("people", "said"),
        [
            (0, ["alone-here"]),
            (1, ["alone-here"]),
            (2, ["here-before", "number-2", "here-after"]),
            (20, ["here-before", "number-20", "here-after"]),
            (21, ["here-before", "more-than-20", "here-after"]),
        ],
    )
    def test_tells_how_many_are_here(self, people: int, said: list[str]) -> None:
        assert list(how_many(people)) == said


class TestWhatTheOperatorMustMend:
    @pytest.mark.parametrize("languages", [[], [""], ["../de"], ["Deutsch"], ["de", "e"]])
    def test_not_a_list_of_languages(self, languages: list[str]) -> None:
        with pytest.raises(OperatorError, match="Not a list of language tags"):
            Prompts(languages)

    def test_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(OperatorError, match="nowhere does not exist"):
            Prompts(["en"], [tmp_path / "nowhere"])

    def test_language_that_nobody_speaks(self) -> None:
        with pytest.raises(OperatorError, match="no prompts for the language 'pl'"):
            Prompts(["en", "pl"])

    def test_recording_that_lacks_a_codec_is_named(self, tmp_path: Path) -> None:
        put(tmp_path, "en", PromptId.WELCOME, Codec.PCMU, Codec.G722)
        put(tmp_path, "en", PromptId.JOINING, Codec.PCMA)
        with pytest.raises(OperatorError) as caught:
            Prompts(["en"], [tmp_path])
        for name in ("welcome.pcma", "joining.pcmu", "joining.g722"):
            assert str(tmp_path / "en" / name) in caught.value.cause
        assert "welcome.pcmu" not in caught.value.cause

    @pytest.mark.parametrize("size", [0, 161])
    def test_recording_that_is_not_whole_frames(self, tmp_path: Path, size: int) -> None:
        put(tmp_path, "en", PromptId.WELCOME)
        (tmp_path / "en" / "welcome.pcma").write_bytes(bytes(size))
        with pytest.raises(OperatorError, match=r"welcome\.pcma is not made of whole 20 ms frames"):
            Prompts(["en"], [tmp_path])

    def test_recording_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "en").mkdir()
        (tmp_path / "en" / "welcome.pcma").symlink_to("welcome.pcma")
        with pytest.raises(OperatorError, match=r"welcome\.pcma cannot be read"):
            Prompts(["en"], [tmp_path])

    def test_file_where_a_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "pl").write_text("")
        with pytest.raises(OperatorError, match="no prompts for the language 'pl'"):
            Prompts(["pl"], [tmp_path])

    def test_broken_installation(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path, "en", PromptId.WELCOME)
        monkeypatch.setattr("dialin.sounds.PACKAGE", tmp_path)
        with pytest.raises(OperatorError, match="holds no beep"):
            Prompts(["en"])
