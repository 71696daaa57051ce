# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual time for the tests of the transaction layer, and what must be true when it has passed."""

from __future__ import annotations

from dialin.wire.transaction import Output, TransactionLayer


def run_down(layer: TransactionLayer) -> list[Output]:
    """Let time pass until no transaction waits for it."""
    outputs = []
    while (deadline := layer.next_deadline()) is not None:
        outputs += layer.fire(deadline)
    return outputs


def assert_nothing_is_left(layer: TransactionLayer) -> None:
    assert len(layer) == 0
    assert layer.next_deadline() is None
    assert (layer._clients, layer._servers, layer._copies) == ({}, {}, {})
    assert (layer._due, layer._agenda) == ({}, [])
