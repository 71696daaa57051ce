# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction layer under random events in random order: nothing raises, nothing is left."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from dialin.wire.flow import Flow
from dialin.wire.message import Request
from dialin.wire.transaction import (
    Deliver,
    Finished,
    Output,
    TimedOut,
    TransactionKey,
    TransactionLayer,
)

from .sip_samples import TCP, UDP, ack, request, response
from .transaction_time import assert_nothing_is_left, run_down

NOW = 1_000.0


class RandomEvents(RuleBasedStateMachine):
    """Any event in any order: no exception, one ending for each transaction, and no leak."""

    received: Bundle[TransactionKey] = Bundle("received")
    sent: Bundle[Request] = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.layer = TransactionLayer(max_transactions=20)
        self.now = NOW
        self.open: dict[TransactionKey, Request] = {}
        self.numbers = iter(range(1_000_000))

    def note(self, outputs: list[Output]) -> list[Output]:
        """Check what every output promises."""
        for at, output in enumerate(outputs):
            match output:
                case Deliver(Request() as delivered, key=TransactionKey() as key):
                    assert key not in self.open
                    self.open[key] = delivered
                case TimedOut(key):
                    assert outputs[at + 1] == Finished(key)
                case Finished(key):
                    del self.open[key]
        return outputs

    @invariant()
    def the_table_holds_what_has_not_ended(self) -> None:
        assert len(self.layer) == len(self.open)

    @invariant()
    def the_clock_is_never_behind(self) -> None:
        deadline = self.layer.next_deadline()
        assert deadline is None or deadline > self.now

    @rule(
        target=received,
        method=st.sampled_from(["INVITE", "OPTIONS", "CANCEL", "BYE"]),
        number=st.integers(0, 4),
        branch=st.sampled_from([None, "old", "z9hG4bK.1", "z9hG4bK.2"]),
        flow=st.sampled_from([UDP, TCP]),
    )
    def a_request_comes(self, method: str, number: int, branch: str | None, flow: Flow) -> Any:
        message = request(method, cseq=number, branch=branch)
        outputs = self.note(self.layer.receive(message, flow, self.now))
        self.layer.is_merged(message)
        self.layer.cancelled(message)
        return multiple(
            *(output.key for output in outputs if isinstance(output, Deliver) and output.key)
        )

    @rule(
        number=st.integers(0, 4),
        branch=st.sampled_from([None, "old", "z9hG4bK.1", "z9hG4bK.2"]),
        to_tag=st.sampled_from([None, "to1", "to2"]),
    )
    def an_ack_comes(self, number: int, branch: str | None, to_tag: str | None) -> None:
        message = ack(request(), cseq=number, branch=branch, to_tag=to_tag)
        self.note(self.layer.receive(message, UDP, self.now))

    @rule(key=received, status=st.sampled_from([100, 180, 200, 302, 486, 603]))
    def the_core_responds(self, key: TransactionKey, status: int) -> None:
        message = self.open.get(key)
        if message is not None:
            self.note(self.layer.respond(key, response(message, status), self.now))

    @rule(
        target=sent,
        method=st.sampled_from(["INVITE", "OPTIONS", "BYE"]),
        flow=st.sampled_from([UDP, TCP]),
    )
    def the_core_requests(self, method: str, flow: Flow) -> Request:
        message = request(method, branch=f"z9hG4bK.ours{next(self.numbers)}")
        key, outputs = self.layer.request(message, flow, self.now)
        self.open[key] = message
        self.note(outputs)
        return message

    @rule(message=consumes(sent))
    def the_core_cancels(self, message: Request) -> None:
        cancel = request("CANCEL", branch=message.via.branch)
        key, outputs = self.layer.request(cancel, UDP, self.now)
        self.open[key] = cancel
        self.note(outputs)

    @rule(message=sent, status=st.sampled_from([100, 180, 200, 302, 486, 603]))
    def a_response_comes(self, message: Request, status: int) -> None:
        self.note(self.layer.receive(response(message, status), UDP, self.now))

    @rule(flow=st.sampled_from([UDP, TCP]))
    def a_transport_fails(self, flow: Flow) -> None:
        self.note(self.layer.transport_failed(flow, self.now))

    @rule(seconds=st.sampled_from([0.001, 0.2, 0.5, 1.0, 5.0, 33.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.note(self.layer.fire(self.now))

    def teardown(self) -> None:
        """Once the core and the far ends have said their last word, time does the rest."""
        for key, message in list(self.open.items()):
            if key.side == "server":
                self.note(self.layer.respond(key, response(message, 500), self.now))
            else:
                self.note(self.layer.receive(response(message, 500), UDP, self.now))
        self.note(run_down(self.layer))
        assert self.open == {}
        assert_nothing_is_left(self.layer)


# The release profile's 5,000 examples take minutes.
TestRandomEvents = pytest.mark.timeout(900)(RandomEvents.TestCase)
