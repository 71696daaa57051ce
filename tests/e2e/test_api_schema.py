# SPDX-License-Identifier: GPL-3.0-or-later
"""The API against its own description, by schemathesis: whatever is sent, what is said is true."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.served import service
from tests.world import TOKEN

pytestmark = pytest.mark.e2e

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXAMPLES = 60


@pytest.fixture
def served() -> Iterator[str]:
    """Where the API of a running service is."""
    with service() as address:
        yield address


def test_nothing_that_is_sent_gets_an_answer_that_is_not_described(
    served: str, tmp_path: Path
) -> None:
    found = subprocess.run(
        [
            SCHEMATHESIS,
            "run",
            f"{served}/api/openapi.json",
            "--header",
            f"Authorization: Bearer {TOKEN}",
            # A drained service refuses calls for good; the others would test nothing after it.
            "--exclude-operation-id",
            "drainService",
            "--max-examples",
            str(EXAMPLES),
            "--seed",
            "1",
            "--request-timeout",
            "10",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
