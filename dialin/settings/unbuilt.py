# SPDX-License-Identifier: GPL-3.0-or-later
"""What the settings allow and this version cannot do: refused at the start, not ignored.

Each function refuses one thing. Whoever builds it removes the function, its line in `UNBUILT`, its
test, and what the setting's description says of it; nothing else knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dialin import presets
from dialin.settings.model import Settings
from dialin.settings.problems import Problem, SettingsError


def refuse_unbuilt(settings: Settings) -> None:
    """Raise SettingsError if something is set that this version cannot do."""
    problems = [problem for refuse in UNBUILT for problem in refuse(settings)]
    if problems:
        raise SettingsError(*problems)


def unsupported_presets(settings: Settings) -> Iterator[Problem]:
    """Providers that want something of us that we do not speak."""
    for name, trunk in settings.trunks.items():
        preset = presets.load(trunk.preset) if trunk.preset else None
        if preset and preset.unsupported:
            yield Problem(
                f"trunks.{name}.preset",
                "",
                f"{preset.title} is unsupported: {preset.unsupported}",
                "Use another provider, or write the settings by hand to try it.",
            )


UNBUILT: tuple[Callable[[Settings], Iterator[Problem]], ...] = (unsupported_presets,)
