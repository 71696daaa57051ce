# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin prompts`: what it tells, what it finds wrong, and what becomes of recordings."""

from __future__ import annotations

import math
import shutil
import subprocess
import wave
from array import array
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dialin.__main__ import cli
from dialin.commands import usual
from dialin.errors import OperatorError
from dialin.events import Codec
from dialin.sounds import PACKAGE, SPOKEN, TONES, PromptId, Prompts, level
from dialin.sounds import manifest as manifests
from dialin.wire import g711
from tests.settings import SECRET

RATE = 44_100
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.fixture(autouse=True)
def no_usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual, "DEFAULT_FILE", tmp_path / "none.toml")


def prompts(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["prompts", *map(str, arguments)])


def settings(folder: Path, more: str) -> Path:
    file = folder / "dialin.toml"
    file.write_text(f"""
[trunks.lab]
allowed_sources = ["203.0.113.0/28"]
[bbb_servers.main]
url = "https://bbb.example.org/bigbluebutton/"
secret = "{SECRET}"
{more}
""")
    file.chmod(0o640)
    return file


def record(
    file: Path, *, amplitude: float = 0.1, before_s: float = 1.0, sound_s: float = 0.8
) -> None:
    """A voice that is none: a tone after much silence, as a recorder leaves it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tone = (
        round(32767 * amplitude * math.sin(2 * math.pi * 300 * index / RATE))
        for index in range(round(sound_s * RATE))
    )
    silence = bytes(2 * round(before_s * RATE))
    with wave.open(str(file), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(RATE)
        target.writeframes(silence + array("h", tone).tobytes() + silence)


class TestList:
    def test_tells_every_prompt_of_every_language(self) -> None:
        lines = prompts("list").stdout.splitlines()
        assert len(lines) == 5 * len(SPOKEN) + len(TONES)
        hash_key = "Please enter your conference PIN, then press the hash key."
        assert f"en/enter-pin  3.4 s  built-in  {hash_key}" in lines

    def test_tells_what_is_ones_own_and_what_stands_in(self, tmp_path: Path) -> None:
        (tmp_path / "pl").mkdir()
        for codec in Codec:
            clip = f"welcome.{codec.lower()}"
            shutil.copy(PACKAGE / "en" / clip, tmp_path / "pl" / clip)
        file = settings(
            tmp_path, f'[service]\nlanguages = ["pl", "de"]\n[ivr]\nprompt_folder = "{tmp_path}"'
        )
        lines = prompts("list", "--config", file).stdout.splitlines()
        assert lines[0].startswith("pl/welcome  2.1 s  own")
        assert any(line.startswith("pl/goodbye  4.6 s  stand-in de/goodbye") for line in lines)
        assert any(line.endswith("Für Deutsch bitte die Zwei.") for line in lines)


class TestCheck:
    def test_the_built_in_prompts_are_as_they_should_be(self) -> None:
        result = prompts("check", "de")
        assert result.exit_code == 0, result.stdout
        (line,) = result.stdout.splitlines()
        assert line.startswith("de: 77 prompts, ")
        assert "0 missing" in line

    def test_says_what_is_wrong_with_recordings(self, tmp_path: Path) -> None:
        def put(prompt: str, samples: list[int], **other: int) -> None:
            for codec in Codec:
                octets = g711.alaw_encode(samples) + bytes(other.get(codec.lower(), 0))
                (tmp_path / "en" / f"{prompt}.{codec.lower()}").write_bytes(octets)

        tone = [round(3000 * math.sin(index / 4)) for index in range(1600)]
        (tmp_path / "en").mkdir()
        put("welcome", tone, pcmu=160)
        put("goodbye", [0] * 1600)
        put("joining", [sample // 30 for sample in tone])
        put("alone", [max(-32768, min(32767, 12 * sample)) for sample in tone])
        put("muted", tone * 20)
        put("hand-up", [0] * 8000 + tone)
        put(
            "hand-down",
            [
                round(
                    4000
                    * (math.sin(math.tau * 770 * at / 8000) + math.sin(math.tau * 1336 * at / 8000))
                )
                for at in range(1600)
            ],
        )
        result = prompts("check", "en", "--folder", tmp_path)
        assert result.exit_code == 1
        for fault in (
            "fail: en/welcome: Its files last differently long.",
            "fail: en/goodbye: It is silent.",
            "warn: en/joining: Its level is -5",
            "warn: en/alone: It is overdriven.",
            "warn: en/muted: It lasts 4.0 s, and 1.5 s is too long.",
            "warn: en/hand-up: It has 1.0 s of silence before it and 0.0 s behind.",
            "fail: en/hand-down: Its echo would be taken for the keys 5.",
        ):
            assert fault in result.stdout, result.stdout
        assert "7 your own" in result.stdout

    def test_a_language_without_its_prompts_fails(self, tmp_path: Path) -> None:
        (tmp_path / "pl").mkdir()
        result = prompts("check", "pl", "en", "--folder", tmp_path)
        assert result.exit_code == 1
        assert "pl/welcome: There is no such prompt: callers hear en/welcome." in result.stdout
        assert "pl/language-2: There is no such prompt" in result.stdout
        assert "pl/language-3" not in result.stdout  # nobody offers a third

    def test_a_changed_installation_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = tmp_path / "sounds"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("fr", "es", "it", "de"))
        for name in ("dialin.sounds.PACKAGE", "dialin.sounds.examine.PACKAGE"):
            monkeypatch.setattr(name, copy)
        clip = copy / "en" / "welcome.g722"
        clip.write_bytes(bytes(reversed(clip.read_bytes())))
        manifest = copy / "en" / "manifest.toml"
        text = manifest.read_text("utf-8")
        text = text.replace("Thank you for calling.", "Thanks for calling.", 1)
        manifest.write_text(text.replace("[prompts.removed]", "[prompts.sent-away]"), "utf-8")
        result = prompts("check", "en")
        assert result.exit_code == 1
        assert "fail: en/welcome: Its G722 file is not the one that was made." in result.stdout
        assert "fail: en/goodbye: It was made from another text." in result.stdout
        assert "fail: en/removed: The manifest does not know it." in result.stdout


class TestManifest:
    @pytest.mark.parametrize("text", ["[", "language = 'en'", "[render]\n[prompts.x]\ntext = 'y'"])
    def test_one_that_cannot_be_used_is_the_operators_to_mend(
        self, tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "manifest.toml").write_text(text)
        with pytest.raises(OperatorError, match="cannot be used"):
            manifests.read(tmp_path)

    def test_no_manifest_is_an_empty_one(self, tmp_path: Path) -> None:
        assert manifests.read(tmp_path).entries == {}


class TestSourceTree:
    def test_rebuild_and_hear_run_the_renderer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "dialin" / "sounds"
        script = tmp_path / "scripts" / "render-prompts"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\ntest "$1" != --hear\n')
        script.chmod(0o755)
        monkeypatch.setattr("dialin.sounds.PACKAGE", package)
        assert prompts("rebuild", "--all", "de").exit_code == 0
        monkeypatch.undo()
        assert (tmp_path / "said").read_text() == "--all de\n"

    def test_the_recogniser_that_fails_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        commands: list[list[object]] = []

        def fail(command: list[object], **_: object) -> subprocess.CompletedProcess[bytes]:
            commands.append(command)
            return subprocess.CompletedProcess([], 3)

        monkeypatch.setattr("subprocess.run", fail)
        result = prompts("check", "--hear", "en")
        assert "failed with status 3" in str(result.exception)
        assert commands == [[PACKAGE.parents[1] / "scripts" / "render-prompts", "--hear", "en"]]

    def test_an_installation_has_no_renderer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dialin.sounds.PACKAGE", tmp_path / "dialin" / "sounds")
        result = prompts("rebuild")
        assert isinstance(result.exception, OperatorError)
        assert "no part of an installation" in result.exception.cause


@needs_ffmpeg
class TestImport:
    def test_a_recording_becomes_a_prompt(self, tmp_path: Path) -> None:
        record(tmp_path / "mine" / "pl" / "Muted by host.wav")
        record(tmp_path / "mine" / "tone" / "music.wav", before_s=0, sound_s=2)
        (tmp_path / "mine" / "pl" / "notes.txt").write_text("not a recording")
        result = prompts("import", tmp_path / "mine", "--to", tmp_path / "sounds")
        assert result.exit_code == 0, result.exception
        assert "pl/muted-by-host  1.0 s" in result.stdout
        own = Prompts(["pl", "en"], [tmp_path / "sounds"])
        clip = own.clip(PromptId.MUTED_BY_HOST, "pl", Codec.PCMA)
        assert clip == tmp_path / "sounds" / "pl" / "muted-by-host.pcma"
        samples = g711.alaw_decode(clip.read_bytes())
        assert level.active_level(samples, 8000) == pytest.approx(-22, abs=0.5)
        first, last = level.edges(samples, 8000) or (0, 0)
        assert first / 8000 == pytest.approx(0.05, abs=0.02)
        assert (len(samples) - last) / 8000 == pytest.approx(0.15, abs=0.03)
        music = own.clip(PromptId.MUSIC, "pl", Codec.PCMU).read_bytes()
        assert len(music) == 16_000
        assert level.active_level(g711.ulaw_decode(music), 8000) == pytest.approx(-26, abs=0.5)
        assert {path.name for path in clip.parent.iterdir()} == {
            f"muted-by-host.{codec.lower()}" for codec in Codec
        }

    def test_files_without_a_folder_need_a_language(self, tmp_path: Path) -> None:
        record(tmp_path / "mine" / "welcome.wav")
        refused = prompts("import", tmp_path / "mine", "--to", tmp_path / "sounds")
        assert "holds no recordings" in str(refused.exception)
        file = settings(tmp_path, f'[ivr]\nprompt_folder = "{tmp_path}"')
        taken = prompts("import", tmp_path / "mine", "--language", "de", "--config", file)
        assert taken.exit_code == 0
        assert (tmp_path / "de" / "welcome.g722").is_file()

    def test_nowhere_to_put_them(self, tmp_path: Path) -> None:
        record(tmp_path / "welcome.wav")
        refused = prompts("import", tmp_path, "--language", "de")
        assert "No folder is named" in str(refused.exception)

    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("de/welcom.wav", "Did you mean welcome?"),
            ("tone/welcome.wav", "dialin prompts list"),
            ("de/music.wav", "dialin prompts list"),
        ],
    )
    def test_a_name_that_is_no_prompts(self, tmp_path: Path, name: str, remedy: str) -> None:
        record(tmp_path / "mine" / name)
        refused = prompts("import", tmp_path / "mine", "--to", tmp_path)
        assert "is named like no prompt" in str(refused.exception)
        assert remedy in str(refused.exception)

    def test_the_same_prompt_twice(self, tmp_path: Path) -> None:
        for name in ("hand-up.wav", "hand_up.wav"):
            record(tmp_path / "mine" / "de" / name)
        refused = prompts("import", tmp_path / "mine", "--to", tmp_path)
        assert "are the same prompt" in str(refused.exception)

    def test_next_to_no_sound(self, tmp_path: Path) -> None:
        record(tmp_path / "mine" / "de" / "welcome.wav", amplitude=0.002)
        refused = prompts("import", tmp_path / "mine", "--to", tmp_path)
        assert "holds next to no sound" in str(refused.exception)

    def test_what_is_no_sound_file(self, tmp_path: Path) -> None:
        (tmp_path / "welcome.wav").write_text("hello")
        refused = prompts("import", tmp_path, "--language", "de", "--to", tmp_path)
        assert "ffmpeg cannot use it" in str(refused.exception)

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        record(tmp_path / "mine" / "de" / "welcome.wav")
        (tmp_path / "sounds").write_text("")
        refused = prompts("import", tmp_path / "mine", "--to", tmp_path / "sounds" / "x")
        assert "cannot be written: Not a directory" in str(refused.exception)

    def test_ffmpeg_that_takes_too_long(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def late(*_: object, **__: object) -> None:
            raise subprocess.TimeoutExpired("ffmpeg", 1)

        record(tmp_path / "welcome.wav")
        monkeypatch.setattr("subprocess.run", late)
        refused = prompts("import", tmp_path, "--language", "de", "--to", tmp_path)
        assert "took longer" in str(refused.exception)


def test_without_ffmpeg_nothing_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "welcome.wav")
    monkeypatch.setattr("shutil.which", lambda _: None)
    refused = prompts("import", tmp_path, "--language", "de", "--to", tmp_path)
    assert "ffmpeg is missing" in str(refused.exception)


class TestLevel:
    def test_silence_has_no_level_and_no_edges(self) -> None:
        silence = array("h", bytes(3200))
        assert level.active_level(silence, 16_000) is None
        assert level.edges(silence, 16_000) is None
        assert level.shaped(silence) is None
        assert level.at_level(silence, 16_000, -22) is None

    def test_a_spiky_recording_is_never_overdriven(self) -> None:
        click = array("h", [200, -200] * 8000)
        click[5000] = 32767
        loud = level.at_level(click, 16_000, -22)
        assert loud is not None
        assert max(loud) <= 0.9 * 32767

    def test_the_button_of_the_recorder_is_cut_off(self) -> None:
        pause, click = [0] * 8000, [20000] * 160
        word = [round(5000 * math.sin(index / 9)) for index in range(4800)]
        found = level.edges(pause + click + pause + word + pause + click, 16_000)
        assert found is not None
        assert found[0] == pytest.approx(16_160, abs=80)
        assert found[1] == pytest.approx(16_160 + 4800, abs=80)
        assert level.edges(pause + click, 16_000) == (8000, 8160)
