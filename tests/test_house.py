# SPDX-License-Identifier: GPL-3.0-or-later
"""What a house has where nothing else is put into it."""

from datetime import UTC, datetime

from dialin.house import NoConsents, no_lobby


async def test_without_a_store_nothing_is_kept_and_nobody_waits_for_a_host() -> None:
    await NoConsents().record_consent("call-1", "demo", True, datetime.now(UTC))
    assert not no_lobby("demo")
