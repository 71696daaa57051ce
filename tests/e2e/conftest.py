# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign peers for the long suites, and the authority that their certificates are of."""

import pytest

from tests.e2e.asterisk import asterisk as asterisk
from tests.fakes.authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority") / "ca")
