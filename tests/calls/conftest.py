# SPDX-License-Identifier: GPL-3.0-or-later
"""Stories of calls are told in every cell of UDP, TCP, TLS and RTP, SRTP by the long suites.

A module that says `EVERY_CELL = True` is told by UDP and RTP in every run; tests marked `diagonal`
by TCP with RTP and by TLS with SRTP as well.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dialin.sip import Certificate
from tests.fakes.authority import NAME, Authority
from tests.peers.cell import CONFERENCE_HOST, HOST, Cell, told_in

CELLS = [(transport, audio) for transport in ("udp", "tcp", "tls") for audio in ("rtp", "srtp")]
USUAL = ("udp", "rtp")
DIAGONAL = (("tcp", "rtp"), ("tls", "srtp"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tell a test in all cells, most of them in the long suites only."""
    if not getattr(metafunc.module, "EVERY_CELL", False):
        return
    is_diagonal = metafunc.definition.get_closest_marker("diagonal") is not None
    cells = [
        pytest.param(
            cell,
            id="-".join(cell),
            marks=() if cell == USUAL or (is_diagonal and cell in DIAGONAL) else [pytest.mark.e2e],
        )
        for cell in CELLS
    ]
    metafunc.fixturenames.insert(0, "cell")
    metafunc.parametrize("cell", cells, indirect=True)


@pytest.fixture(scope="session")
def cell_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="session")
def cell_certificate(cell_authority: Authority) -> Certificate:
    names = f"DNS:{NAME},IP:{HOST},IP:{CONFERENCE_HOST}"
    return cell_authority.issue("both", names=names, usage="serverAuth,clientAuth")


@pytest.fixture
def cell(
    request: pytest.FixtureRequest, cell_authority: Authority, cell_certificate: Certificate
) -> Iterator[Cell]:
    """The cell that a test is told in."""
    transport, audio = request.param
    made = Cell.of(transport, audio, cell_authority, cell_certificate)
    with told_in(made):
        yield made
