# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of what outlives the service."""

from __future__ import annotations

from pydantic import Field

from dialin.settings.base import Section


class StoreSettings(Section):
    """What outlives the service: static PINs, and what callers said to being recorded. Never a
    caller's number."""

    keep: bool = Field(
        default=True,
        description="`true`: in the file `dialin.db` in `service.state_directory`. `false`: in "
        "memory, until the service ends.",
    )
    consent_days: int = Field(
        default=365,
        ge=0,
        le=3650,
        description="How long it is kept that somebody in a call agreed to being recorded, or did "
        "not. 0: not at all.",
    )
