# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets as Markdown, for `docs/trunks.md`: a table of all, then what each one needs."""

from __future__ import annotations

from collections.abc import Iterator

from dialin.presets import Preset, load, names

HEAD = (
    "| Provider | `preset` | Calls come by | Signalling | Audio | Tested | Facts from |",
    "|---|---|---|---|---|---|---|",
)
WAYS = {"register": "registration", "peer": "our address"}
AUDIO = {"require": "SRTP only", "prefer": "SRTP if offered", "off": "in the clear"}
CLEAR = "in the clear"
LISTS = ("allowed_sources", "media_networks")


def trunks() -> str:
    """All presets, documented ones and guessed ones alike."""
    presets = sorted(map(load, names()), key=place)
    rows = (row(preset) for preset in presets)
    sections = (line for preset in presets for line in section(preset))
    return "\n".join([*HEAD, *rows, "", *sections])


def place(preset: Preset) -> tuple[bool, str]:
    """Where a preset stands: by its title, the one for everybody last."""
    return preset.basis == "general", preset.title.lower()


def row(preset: Preset) -> str:
    """A preset as a line of the table."""
    cells = (
        preset.title,
        f"`{preset.name}`",
        WAYS[preset.trunk["mode"]],
        f"{preset.trunk['transport'].upper()} {server(preset)}".strip(),
        audio(preset),
        tried(preset),
        f"{preset.basis}, {preset.date:%Y-%m}",
    )
    return f"| {' | '.join(cells)} |"


def tried(preset: Preset) -> str:
    """How far a preset was tried, and when."""
    words = ["**unsupported**"] if preset.unsupported else []
    words.append(f"{preset.tested} {preset.tested_on}" if preset.tested_on else preset.tested)
    return ", ".join(words)


def server(preset: Preset) -> str:
    """The provider's server, if all its customers have the same."""
    return f"`{preset.trunk['registrar']}`" if "registrar" in preset.trunk else ""


def audio(preset: Preset) -> str:
    """How audio travels. Keys that travelled in the clear would protect nothing."""
    return AUDIO[preset.trunk["media_encryption"]] if preset.trunk["transport"] == "tls" else CLEAR


def section(preset: Preset) -> Iterator[str]:
    """What an operator writes, does and cannot rely on."""
    yield from (f"### {preset.title}", "")
    if preset.unsupported:
        yield from (f"**Unsupported** in this version: {preset.unsupported}", "")
    yield from ("```toml", "[trunks.NAME]", f'preset = "{preset.name}"')
    for key, told in preset.needs.items():
        value = '["…"]' if key in LISTS else '"…"'
        yield f"{key} = {value}  # {told.replace('`', '')}"
    yield from ("```", "")
    yield from (f"* {hint}" for hint in preset.hints)
    yield from (f"* *Unsure:* {fact}" for fact in preset.unsure)
    source = preset.source
    yield from ("", f"Source: [{source.document}]({source.address}), {preset.date}.", "")
