# SPDX-License-Identifier: GPL-3.0-or-later
"""What all labs share: an authority that everybody here trusts."""

from __future__ import annotations

import pytest

from tests.fakes.authority import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority") / "ca")
