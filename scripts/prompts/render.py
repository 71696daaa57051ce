# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the manifests, renders what has changed, writes audio and manifests back.

A person edits `text`, `note`, `limit_s` and `speed`; every other value of a manifest is written
here. How a voice speaks is left to `engines`, how a file looks to `shape`, how well it is
understood to `hear`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tomllib
import wave
from pathlib import Path
from typing import Any

import hear
import numpy as np
import shape
from engines import engine_for

SUFFIXES = (".pcmu", ".pcma", ".g722")
MUSIC = "music"
BY_HAND = ("text", "note", "limit_s", "speed")
"""`speed` only where a voice is understood better at another speed than its own."""
HEADER = """\
# SPDX-License-Identifier: GPL-3.0-or-later
# What callers hear, and how each file was made. Edit text, note and limit_s by hand, then run
# scripts/render-prompts: it renders what has changed and writes all the rest.
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def as_toml(manifest: dict[str, Any]) -> str:
    """A manifest as text, scalars before tables. TOML reads strings as JSON writes them."""
    lines = [HEADER]

    def table(name: str, content: dict[str, Any]) -> None:
        if name:
            lines.append(f"\n[{name}]")
        inner = {}
        for key, value in content.items():
            if isinstance(value, dict):
                inner[key] = value
            else:
                lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        for key, value in inner.items():
            table(f"{name}.{key}" if name else key, value)

    table("", manifest)
    return "\n".join(lines) + "\n"


def describe(master: Path, clip: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry of one prompt: what a person wrote, then what can be measured on its files."""
    with wave.open(str(master), "rb") as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
    described = {key: entry[key] for key in BY_HAND if key in entry}
    described["text_sha256"] = sha256(entry["text"].encode())
    described["duration_s"] = round(len(samples) / shape.RATE, 2)
    described["level_dbov"] = round(shape.active_level(samples / np.float32(32768)), 1)
    described["master_sha256"] = sha256(master.read_bytes())
    for suffix in SUFFIXES:
        described[f"{suffix[1:]}_sha256"] = sha256(clip.with_suffix(suffix).read_bytes())
    return described


def render(folder: Path, build: Path, manifest: dict[str, Any], *, everything: bool) -> None:
    """Render the prompts of one folder whose text is not the one they were rendered from."""
    engine = engine_for(manifest["language"], build)
    manifest["render"] = engine.facts()
    masters = build / "masters" / manifest["language"]
    masters.mkdir(parents=True, exist_ok=True)
    for name, entry in manifest["prompts"].items():
        if not everything and entry.get("text_sha256") == sha256(entry["text"].encode()):
            continue
        master, clip = masters / f"{name}.wav", folder / f"{name}.wav"
        sound, goes_round = engine.speak(entry["text"], entry.get("speed")), name == MUSIC
        if goes_round:
            samples = shape.levelled(sound)
        else:
            samples = shape.shaped(shape.at_16_khz(sound, engine.rate))
        shape.write_master(samples, master)
        shape.derive(master, clip, goes_round=goes_round)
        manifest["prompts"][name] = described = describe(master, clip, entry)
        manifest.pop("intelligibility", None)
        over = " TOO LONG" if described["duration_s"] > described["limit_s"] else ""
        print(f"{manifest['language']}/{name}: {described['duration_s']} s{over}")


def sentence_of(name: str) -> tuple[str, ...]:
    """The prompts that callers hear as one sentence with this one."""
    if name.startswith(("number-", "more-than-")):
        return "here-before", name, "here-after"
    if name in ("here-before", "here-after"):
        return "here-before", "number-3", "here-after"
    return (name,)


def listen(folder: Path, build: Path, manifest: dict[str, Any], *, everything: bool) -> None:
    """Write down what the recogniser hears in each clip, and the rates over all of them.

    What is part of a sentence is charged with the errors of all of it, and counts its own words.
    """
    recogniser = hear.Recogniser(build)
    language = manifest["language"]
    unheard = {name for name, entry in manifest["prompts"].items() if "heard_as" not in entry}
    person = manifest.get("intelligibility", {}).get("listened_by", "nobody yet")
    totals = {"words": 0, "word_errors": 0, "letters": 0, "letter_errors": 0}
    for name, entry in manifest["prompts"].items():
        names = sentence_of(name)
        text = " ".join(manifest["prompts"][part]["text"] for part in names)
        if everything or not unheard.isdisjoint(names):
            heard = recogniser.hear([folder / f"{part}.pcma" for part in names], language)
        else:
            heard = entry["heard_as"]
        said = hear.words(text)
        understood = hear.words(hear.spoken(heard, language), like=text)
        errors = hear.distance(said, understood)
        entry["heard_as"] = heard
        entry["word_errors"] = errors
        own = hear.words(entry["text"])
        totals["words"] += len(own)
        totals["word_errors"] += errors
        totals["letters"] += len("".join(own))
        totals["letter_errors"] += hear.distance("".join(said), "".join(understood))
        print(f"{language}/{name}: {errors} of {len(own)}: {heard}")
    wer = round(100 * totals["word_errors"] / totals["words"], 1)
    cer = round(100 * totals["letter_errors"] / totals["letters"], 1)
    rates = {"wer_percent": wer, "cer_percent": cer, "listened_by": person}
    manifest["intelligibility"] = hear.FACTS | totals | rates
    print(f"{language}: {wer} % of the words, {cer} % of the letters wrong")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/render-prompts", description=__doc__)
    parser.add_argument(
        "--build", type=Path, required=True, help="where models and scratch files are"
    )
    parser.add_argument("--sounds", type=Path, required=True, help="dialin/sounds")
    parser.add_argument("--all", action="store_true", help="render also what has not changed")
    parser.add_argument(
        "--hear", action="store_true", help="write word error rates into the manifests"
    )
    parser.add_argument(
        "--hear-new", action="store_true", help="likewise, listening only to what has changed"
    )
    parser.add_argument("languages", nargs="*", default=["de", "en", "es", "fr", "it", "tone"])
    arguments = parser.parse_args()
    for language in arguments.languages:
        folder = arguments.sounds / language
        path = folder / "manifest.toml"
        manifest = tomllib.loads(path.read_text("utf-8"))
        render(folder, arguments.build, manifest, everything=arguments.all)
        if (arguments.hear or arguments.hear_new) and language != "tone":
            listen(folder, arguments.build, manifest, everything=arguments.hear)
        order = {"language": manifest["language"], "render": manifest["render"]}
        if "intelligibility" in manifest:
            order["intelligibility"] = manifest["intelligibility"]
        path.write_text(as_toml(order | {"prompts": manifest["prompts"]}), "utf-8")


if __name__ == "__main__":
    main()
