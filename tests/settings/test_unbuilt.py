# SPDX-License-Identifier: GPL-3.0-or-later
"""What this version cannot do is refused, each thing by itself; what it can do is not."""

from __future__ import annotations

import pytest

from dialin.settings import refuse_unbuilt
from dialin.settings.problems import SettingsError
from tests.settings import UNSUPPORTED, settings
from tests.settings.test_peer_checks import REGISTER


def refusal(changes: dict[str, object]) -> str:
    with pytest.raises(SettingsError) as refused:
        refuse_unbuilt(settings(changes))
    return str(refused.value)


def test_what_is_built_is_not_refused() -> None:
    refuse_unbuilt(settings({"trunks.lab.session_timers": 1800}))
    refuse_unbuilt(settings(REGISTER))
    refuse_unbuilt(settings({"bbb_servers.main.bridge": "livekit"}))
    refuse_unbuilt(settings({"trunks.lab.transport": "tcp", "trunks.lab.preset": "voipms"}))
    refuse_unbuilt(
        settings(
            {
                "trunks.lab.transport": "tls",
                "trunks.lab.media_encryption": "require",
                "bbb_servers.main.voice_transport": "tls",
                "bbb_servers.main.voice_encryption": "require",
            }
        )
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            UNSUPPORTED,
            "trunks.lab.preset: Telekom CompanyFlex is unsupported: it wants media security",
        ),
    ],
)
def test_what_is_not_built_is_refused_and_not_ignored(
    changes: dict[str, object], sentence: str
) -> None:
    said = refusal(changes)

    assert said.startswith(sentence)
    assert len(said.splitlines()) == 1


def test_all_that_is_not_built_is_told_at_once() -> None:
    sources = {"trunks.two.allowed_sources": ["192.0.2.0/24"]}
    other = {name.replace("lab", "two"): value for name, value in UNSUPPORTED.items()}
    said = refusal({**UNSUPPORTED, **other, **sources})

    assert len(said.splitlines()) == 2
