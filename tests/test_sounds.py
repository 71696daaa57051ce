# SPDX-License-Identifier: GPL-3.0-or-later
"""What callers hear: every shipped file is the text it claims to be, and there is always a file."""

from __future__ import annotations

import hashlib
import math
import shutil
import subprocess
import tomllib
from array import array
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
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
    built_in_languages,
    how_many,
)
from dialin.wire import g711
from dialin.wire.tones import ToneDigits

LANGUAGES = ("de", "en")
"""Those that Prompts is asked for here."""
BUILT_IN = ("de", "en", "es", "fr", "it")
PLACES = (*BUILT_IN, TONE)
RATE = 8000
FRAME = RATE // 50
each_place = pytest.mark.parametrize("place", PLACES)
each_language = pytest.mark.parametrize("place", BUILT_IN)


def prompts_of(place: str) -> tuple[PromptId, ...]:
    return TONES if place == TONE else SPOKEN


@cache
def manifest(place: str) -> dict[str, Any]:
    return tomllib.loads((PACKAGE / place / "manifest.toml").read_text("utf-8"))


def file(place: str, prompt: PromptId, codec: Codec) -> Path:
    return PACKAGE / place / f"{prompt}.{codec.lower()}"


@cache
def samples_of(place: str, prompt: PromptId) -> array[int]:
    """What a caller hears, at 8 kHz."""
    return g711.alaw_decode(file(place, prompt, Codec.PCMA).read_bytes())


def decibels(power: float) -> float:
    """Against a full-scale square wave (dBov, ITU-T G.100.1)."""
    return 10 * math.log10(max(power, 1) / 32768**2)


def frame_powers(samples: Sequence[int], width: int) -> list[float]:
    frames = (samples[start : start + width] for start in range(0, len(samples), width))
    return [sum(map(mul, frame, frame)) / width for frame in frames]


@cache
def measured(place: str, prompt: PromptId) -> float:
    return active_level(samples_of(place, prompt), FRAME)


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


def keys_in(clip: bytes) -> list[str]:
    """The keys that a machine hears in µ-law octets."""
    keys = ToneDigits(Codec.PCMU)
    frames = (clip[start : start + FRAME] for start in range(0, len(clip), FRAME))
    return [key for frame in frames for key in keys.feed(frame)]


class TestShippedFiles:
    def test_every_language_has_its_place(self) -> None:
        assert built_in_languages() == BUILT_IN

    @each_place
    def test_each_place_holds_its_prompts_and_nothing_else(self, place: str) -> None:
        expected = {f"{prompt}.{codec.lower()}" for prompt in prompts_of(place) for codec in Codec}
        found = {path.name for path in (PACKAGE / place).iterdir()}
        assert found == expected | {"manifest.toml"}
        assert set(manifest(place)["prompts"]) == set(prompts_of(place))
        assert manifest(place)["language"] == place

    @each_place
    def test_audio_was_rendered_from_the_text_of_today(self, place: str) -> None:
        for prompt, entry in manifest(place)["prompts"].items():
            assert hashlib.sha256(entry["text"].encode()).hexdigest() == entry["text_sha256"], (
                prompt
            )

    @each_place
    def test_files_are_those_that_the_manifest_describes(self, place: str) -> None:
        for prompt, entry in manifest(place)["prompts"].items():
            for codec in Codec:
                clip = file(place, PromptId(prompt), codec).read_bytes()
                found = hashlib.sha256(clip).hexdigest()
                assert found == entry[f"{codec.lower()}_sha256"], (prompt, codec)

    @each_place
    def test_clips_are_whole_frames_and_not_too_long(self, place: str) -> None:
        for prompt, entry in manifest(place)["prompts"].items():
            sizes = {file(place, PromptId(prompt), codec).stat().st_size for codec in Codec}
            assert len(sizes) == 1, prompt
            assert sizes.pop() == round(entry["duration_s"] * 50) * FRAME_BYTES, prompt
            assert entry["duration_s"] <= entry["limit_s"], prompt

    @each_place
    def test_speech_is_at_minus_22_dbov_and_does_not_clip(self, place: str) -> None:
        for prompt in prompts_of(place):
            wanted = -26 if prompt is PromptId.MUSIC else -22
            assert measured(place, prompt) == pytest.approx(wanted, abs=3), prompt
            assert max(map(abs, samples_of(place, prompt))) < 0.9 * 32768, prompt

    @each_place
    def test_silence_before_and_behind_is_short_and_clean(self, place: str) -> None:
        for prompt in prompts_of(place):
            if prompt is PromptId.MUSIC:
                continue
            samples = samples_of(place, prompt)
            first, last = sounding(samples)
            assert 0.045 <= first / RATE <= 0.120, prompt
            assert 0.145 <= (len(samples) - 1 - last) / RATE <= 0.300, prompt

    @each_place
    def test_both_g711_clips_say_the_same(self, place: str) -> None:
        for prompt in prompts_of(place):
            ulaw = g711.ulaw_decode(file(place, prompt, Codec.PCMU).read_bytes())
            alaw = samples_of(place, prompt)
            difference = [one - other for one, other in zip(ulaw, alaw, strict=True)]
            noise = decibels(sum(map(mul, difference, difference)) / len(difference))
            assert noise < measured(place, prompt) - 25, prompt

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg to decode G.722")
    @each_place
    def test_g722_clips_say_the_same(self, place: str) -> None:
        prompts = [prompt for prompt in prompts_of(place) if prompt is not PromptId.MUSIC]
        clips = [file(place, prompt, Codec.G722).read_bytes() for prompt in prompts]
        decoded = array("h", g722_decoded(b"".join(clips)))
        for prompt, clip in zip(prompts, clips, strict=True):
            samples = decoded[: 2 * len(clip)]
            del decoded[: 2 * len(clip)]
            level = active_level(samples, 2 * FRAME)
            assert level == pytest.approx(measured(place, prompt), abs=3), prompt

    @each_place
    def test_echo_of_a_prompt_is_never_taken_for_a_key(self, place: str) -> None:
        for prompt in prompts_of(place):
            assert keys_in(file(place, prompt, Codec.PCMU).read_bytes()) == [], prompt


def g722_decoded(clip: bytes) -> bytes:
    decode = ["-f", "g722", "-i", "-", "-f", "s16le", "-"]
    command = ["ffmpeg", "-loglevel", "error", *decode]
    return subprocess.run(command, input=clip, check=True, capture_output=True, timeout=50).stdout


class TestMusic:
    def test_lasts_a_minute_or_more_and_never_stands_still(self) -> None:
        powers = frame_powers(samples_of(TONE, PromptId.MUSIC), FRAME)
        assert len(powers) >= 60 * 50
        levels = [decibels(power) for power in powers]
        assert min(levels) > -45, "a pause would be taken for a dead line"
        # A second without rise or fall would be taken for noise, and coded as such.
        swings = [
            max(levels[at : at + 50]) - min(levels[at : at + 50]) for at in range(0, 3150, 50)
        ]
        assert min(swings) > 3

    @pytest.mark.parametrize("codec", Codec)
    def test_its_end_leads_to_its_beginning(self, codec: Codec) -> None:
        clip = file(TONE, PromptId.MUSIC, codec).read_bytes()
        seam = clip[-RATE:] + clip[:RATE]
        if codec is Codec.G722:
            if shutil.which("ffmpeg") is None:
                pytest.skip("needs ffmpeg to decode G.722")
            samples = array("h", g722_decoded(seam))[RATE : 3 * RATE]
        else:
            decode = g711.alaw_decode if codec is Codec.PCMA else g711.ulaw_decode
            samples = decode(seam)[RATE // 2 : -RATE // 2]
        middle = len(samples) // 2
        steps = [abs(one - other) for one, other in pairwise(samples)]
        assert max(steps[middle - 5 : middle + 5]) <= max(steps[: middle - 5])

    def test_is_no_key_where_it_begins_anew(self) -> None:
        clip = file(TONE, PromptId.MUSIC, Codec.PCMU).read_bytes()
        assert keys_in(clip[-5 * RATE :] + clip[: 5 * RATE]) == []


def pitches(prompt: PromptId) -> list[int]:
    """The frequencies of a tone that can be heard, in order."""
    text = manifest(TONE)["prompts"][prompt]["text"]
    return [int(part.split(":")[0]) for part in text.split() if not part.startswith("0:")]


class TestTones:
    def test_tones_for_opposites_go_up_and_down(self) -> None:
        for up, down in (
            (PromptId.UNMUTED_TONE, PromptId.MUTED_TONE),
            (PromptId.HAND_UP_TONE, PromptId.HAND_DOWN_TONE),
        ):
            assert pitches(up) == sorted(pitches(up))
            assert pitches(down) == sorted(pitches(down), reverse=True)

    def test_no_two_tones_are_alike(self) -> None:
        tones = [tone for tone in TONES if tone is not PromptId.MUSIC]
        shapes = {(len(pitches(tone)), pitches(tone)[0] - pitches(tone)[-1]) for tone in tones}
        assert len(shapes) == len(tones)


class TestManifests:
    @each_place
    def test_tells_how_and_under_which_rights_the_audio_was_made(self, place: str) -> None:
        render = manifest(place)["render"]
        for fact in ("engine", "engine_version", "voice", "licence", "settings"):
            assert render[fact], fact

    @pytest.mark.parametrize(
        ("place", "limit_percent"), [("en", 3), ("de", 8), ("es", 10), ("fr", 10), ("it", 10)]
    )
    def test_words_are_understood_after_a_telephone_line(
        self, place: str, limit_percent: float
    ) -> None:
        heard = manifest(place)["intelligibility"]
        entries = manifest(place)["prompts"].values()
        assert heard["word_errors"] == sum(entry["word_errors"] for entry in entries)
        assert heard["wer_percent"] == round(100 * heard["word_errors"] / heard["words"], 1)
        assert heard["wer_percent"] <= limit_percent
        if place in LANGUAGES:
            most = [max(1, len(entry["text"].split()) / 4) for entry in entries]
            assert all(
                entry["word_errors"] <= limit for entry, limit in zip(entries, most, strict=True)
            )

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
    @pytest.mark.parametrize("prompt", PromptId)
    @pytest.mark.parametrize("language", LANGUAGES)
    def test_every_prompt_is_there_in_both_languages_and_all_codecs(
        self, language: str, prompt: PromptId, codec: Codec
    ) -> None:
        clip = Prompts(LANGUAGES).clip(prompt, language, codec)
        place = TONE if prompt in TONES else language
        assert clip == PACKAGE / place / f"{prompt}.{codec.lower()}"
        assert clip.is_file()

    @pytest.mark.parametrize("language", [None, "", "pl", "tone", "../en"])
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
        put(tmp_path, "pl", PromptId.WELCOME)
        prompts = Prompts(["pl", "de", "en"], [tmp_path])
        assert prompts.clip(PromptId.WELCOME, "pl", Codec.PCMU).parent == tmp_path / "pl"
        assert prompts.clip(PromptId.JOINING, "pl", Codec.PCMU).parent == PACKAGE / "de"
        assert ("pl", PromptId.JOINING) in prompts.gaps
        assert ("pl", PromptId.WELCOME) not in prompts.gaps
        spoken = [gap for gap in prompts.gaps if gap[1] in SPOKEN]
        assert len(spoken) == len(SPOKEN) - 1

    def test_what_no_language_has_is_a_tone_and_never_silence(self, tmp_path: Path) -> None:
        put(tmp_path, "pl", PromptId.WELCOME)
        prompts = Prompts(["pl"], [tmp_path])
        assert prompts.clip(PromptId.JOINING, "pl", Codec.PCMA) == PACKAGE / TONE / "beep.pcma"

    def test_operator_may_replace_the_tone(self, tmp_path: Path) -> None:
        put(tmp_path, TONE, PromptId.BEEP)
        prompts = Prompts(["en"], [tmp_path])
        clip = prompts.clip(PromptId.BEEP, "en", Codec.PCMA)
        assert clip == tmp_path / TONE / "beep.pcma"

    def test_a_language_never_offers_another(self, tmp_path: Path) -> None:
        put(tmp_path, "de", PromptId.LANGUAGE_2)
        put(tmp_path, "pl", PromptId.WELCOME)
        prompts = Prompts(["de", "pl"], [tmp_path])
        offer = prompts.clip(PromptId.LANGUAGE_2, "de", Codec.PCMA)
        assert offer == tmp_path / "de" / "language-2.pcma"
        beep = PACKAGE / TONE / "beep.pcma"
        assert prompts.clip(PromptId.LANGUAGE_2, "pl", Codec.PCMA) == beep
        assert ("pl", PromptId.LANGUAGE_2) in prompts.gaps

    def test_our_languages_have_no_gaps(self) -> None:
        assert Prompts(BUILT_IN).gaps == ()

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
        with pytest.raises(OperatorError, match="no prompts for the language 'xx'"):
            Prompts(["en", "xx"])

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
