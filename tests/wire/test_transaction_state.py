# SPDX-License-Identifier: GPL-3.0-or-later
"""What all transaction machines share: classes of responses, and a clock that may come early."""

from __future__ import annotations

import pytest

from dialin.wire.client_transaction import ClientInviteTransaction
from dialin.wire.timers import Timers
from dialin.wire.transaction_key import client_key
from dialin.wire.transaction_state import ResponseClass

from .sip_samples import UDP, request


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (100, ResponseClass.PROVISIONAL),
        (199, ResponseClass.PROVISIONAL),
        (200, ResponseClass.SUCCESS),
        (299, ResponseClass.SUCCESS),
        (300, ResponseClass.FAILURE),
        (699, ResponseClass.FAILURE),
    ],
)
def test_classes_of_responses(status: int, kind: ResponseClass) -> None:
    assert ResponseClass.of(status) is kind


def test_a_clock_that_comes_early_does_nothing() -> None:
    transaction = ClientInviteTransaction(client_key(request()), request(), UDP, Timers(), 10.0)
    assert transaction.deadline == 10.5
    assert transaction.fire(10.499) == []
    assert transaction.deadline == 10.5
