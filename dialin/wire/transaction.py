# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction layer (RFC 3261 §17): the table of transactions, and one clock for all of them.

Messages and the time go in, outputs come out; whoever drives this sends what is to be sent and
calls `fire` at `next_deadline`. Repeats end here, and so do ACKs to refusals and responses that
nobody waits for. What a request means is left to the core above, the machines to
`client_transaction` and `server_transaction`, matching to `transaction_key`.
"""

from __future__ import annotations

import hashlib
from heapq import heappop, heappush
from itertools import count
from typing import Final, cast

from dialin.wire.client_transaction import (
    ClientInviteTransaction,
    ClientNonInviteTransaction,
    ClientTransaction,
)
from dialin.wire.flow import Flow
from dialin.wire.message import Message, Request, Response, response_to
from dialin.wire.return_path import mark_source, return_flow
from dialin.wire.server_transaction import (
    ServerInviteTransaction,
    ServerNonInviteTransaction,
    ServerTransaction,
)
from dialin.wire.timers import Timers
from dialin.wire.transaction_key import TransactionKey, client_key, server_key, without_to_tag
from dialin.wire.transaction_state import (
    Deliver,
    Finished,
    Output,
    Send,
    State,
    TimedOut,
    Transaction,
)

__all__ = [
    "Deliver",
    "Finished",
    "Flow",
    "Output",
    "Send",
    "TimedOut",
    "Timers",
    "TransactionKey",
    "TransactionLayer",
]

MAX_TRANSACTIONS: Final = 5_000
"""Over UDP a transaction lasts 32 s, so this is 150 requests a second, sustained."""

RETRY_AFTER_S: Final = range(5, 31)
"""When a refused request may come again; spread, so that not all come back at once."""

DEFAULT_TIMERS: Final = Timers()


class TransactionLayer:
    """All transactions of one endpoint.

    Begins no more than `max_transactions`, and a quarter more for requests within a dialog and
    for CANCEL, so that calls can end when none can begin. A request beyond that is answered 503
    with Retry-After, without a transaction (§8.2.7), and counted.
    """

    def __init__(
        self, timers: Timers = DEFAULT_TIMERS, max_transactions: int = MAX_TRANSACTIONS
    ) -> None:
        self.strays = 0
        """Responses that no transaction waited for; dropped (RFC 6026 §7.3)."""
        self.refused = 0
        """Requests answered 503 because the table was full."""
        self._timers = timers
        self._max_transactions = max_transactions
        self._clients: dict[TransactionKey, ClientTransaction] = {}
        self._servers: dict[TransactionKey, ServerTransaction] = {}
        self._copies: dict[tuple[str, str, int, str], set[TransactionKey]] = {}
        """Server transactions by what is equal in all copies of one request."""
        self._due: dict[TransactionKey, float] = {}
        """When each transaction wants to be fired; an agenda entry that differs is void."""
        self._agenda: list[tuple[float, int, TransactionKey]] = []
        """A heap. The number in the middle settles ties, as keys have no order."""
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def receive(self, message: Message, flow: Flow, now: float) -> list[Output]:
        """Take a parsed message that came by `flow`."""
        if isinstance(message, Response):
            return self._receive_response(message, flow, now)
        if message.method == "ACK":
            return self._receive_ack(message, flow, now)
        return self._receive_request(message, flow, now)

    def request(
        self, request: Request, flow: Flow, now: float, *, timers: Timers | None = None
    ) -> tuple[TransactionKey, list[Output]]:
        """Send a request that has a topmost Via with a fresh branch.

        Not for the ACK to a 2xx, which is no transaction: the core sends it itself.
        """
        key = client_key(request)
        if key.method == "ACK" or key in self._clients:
            raise ValueError("an ACK, or a branch that is in use")
        kind = ClientInviteTransaction if key.method == "INVITE" else ClientNonInviteTransaction
        transaction = self._clients[key] = kind(key, request, flow, timers or self._timers, now)
        if key.method == "CANCEL":
            invite = self._clients.get(key.of_invite)
            if isinstance(invite, ClientInviteTransaction):
                invite.cancelled(now)
                self._schedule(invite)
        return key, self._after(transaction, transaction.start())

    def abandon(self, key: TransactionKey) -> list[Output]:
        """Ask no more: a request of ours is not repeated, and an answer to it a stray."""
        if key not in self._clients:
            return []
        self._remove(key)
        return [Finished(key)]

    def respond(self, key: TransactionKey, response: Response, now: float) -> list[Output]:
        """Answer a request. Nothing happens where its transaction is gone, or answered already."""
        transaction = self._servers.get(key)
        if transaction is None:
            return []
        return self._after(transaction, transaction.respond(response, now))

    def cancelled(self, cancel: Request) -> TransactionKey | None:
        """The INVITE that a CANCEL means (§9.2), answered or not; None for a forged or late one."""
        key = server_key(cancel).of_invite
        return key if key in self._servers else None

    def is_merged(self, request: Request) -> bool:
        """Whether a delivered request has come by another path already: 482 (§8.2.2.2).

        To be asked at once: the first copy is not merged because a second one follows.
        """
        key = server_key(request)
        return request.to.tag is None and bool(self._copies.get(key.request_id, set()) - {key})

    def transport_failed(self, flow: Flow, now: float) -> list[Output]:
        """Nothing can be sent to `flow` any more, or nothing comes from it.

        Requests without an answer have failed. Received requests remain (RFC 6026 §8.8): what
        comes of them is the core's decision.
        """
        outputs: list[Output] = []
        for transaction in list(self._clients.values()):
            if transaction.flow.includes(flow):
                outputs += self._after(transaction, transaction.transport_failed(now))
        return outputs

    def next_deadline(self) -> float | None:
        """When `fire` is due; None while no transaction waits for the time."""
        agenda = self._agenda
        while agenda and self._due.get(agenda[0][2]) != agenda[0][0]:
            heappop(agenda)
        return agenda[0][0] if agenda else None

    def fire(self, now: float) -> list[Output]:
        """Do what is due at `now`."""
        outputs: list[Output] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, _, key = heappop(self._agenda)
            transaction = self._clients.get(key) or self._servers[key]
            outputs += self._after(transaction, transaction.fire(now))
        return outputs

    def _receive_response(self, response: Response, flow: Flow, now: float) -> list[Output]:
        transaction = self._clients.get(client_key(response))
        if transaction is None:
            self.strays += 1
            return []
        return self._after(transaction, transaction.receive(response, flow, now))

    def _receive_request(self, request: Request, flow: Flow, now: float) -> list[Output]:
        key = server_key(request)
        known = self._servers.get(key)
        if known is not None:
            return self._after(known, known.repeated())
        marked = mark_source(request, flow)
        back = return_flow(request, flow)
        if not self._has_room_for(request):
            self.refused += 1
            return [Send(_overloaded(marked, key), back)]
        transaction: ServerTransaction
        if key.method == "INVITE":
            transaction = ServerInviteTransaction(key, marked, back, self._timers, now)
        else:
            transaction = ServerNonInviteTransaction(key, back, self._timers, now)
        self._servers[key] = transaction
        self._copies.setdefault(key.request_id, set()).add(key)
        return self._after(transaction, [Deliver(marked, flow, key)])

    def _receive_ack(self, ack: Request, flow: Flow, now: float) -> list[Output]:
        key = server_key(ack).of_invite
        found = self._servers.get(key) or self._servers.get(without_to_tag(key))
        if found is None:
            return [Deliver(ack, flow, None)]
        invite = cast(ServerInviteTransaction, found)  # by its key
        return self._after(invite, invite.acknowledge(ack, flow, now))

    def _has_room_for(self, request: Request) -> bool:
        goes_on = request.method == "CANCEL" or request.to.tag is not None
        reserve = self._max_transactions // 4 if goes_on else 0
        return len(self) < self._max_transactions + reserve

    def _after(self, transaction: Transaction, outputs: list[Output]) -> list[Output]:
        """See to the clock, and to the end, of a transaction that something happened to."""
        if transaction.state is not State.TERMINATED:
            self._schedule(transaction)
            return outputs
        self._remove(transaction.key)
        return [*outputs, Finished(transaction.key)]

    def _schedule(self, transaction: Transaction) -> None:
        key, deadline = transaction.key, transaction.deadline
        if deadline == self._due.get(key):
            return
        if deadline is None:
            del self._due[key]
        else:
            self._due[key] = deadline
            heappush(self._agenda, (deadline, next(self._numbers), key))

    def _remove(self, key: TransactionKey) -> None:
        self._clients.pop(key, None)
        self._due.pop(key, None)
        if self._servers.pop(key, None) is not None:
            copies = self._copies[key.request_id]
            copies.remove(key)
            if not copies:
                del self._copies[key.request_id]


def _overloaded(request: Request, key: TransactionKey) -> Response:
    """A 503 that is the same for each repeat, as a stateless server's has to be (§8.2.7)."""
    name = "\n".join((key.call_id, key.from_tag, key.branch))
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    wait_s = RETRY_AFTER_S[digest[-1] % len(RETRY_AFTER_S)]
    headers = (("Retry-After", str(wait_s)),)
    return response_to(request, 503, to_tag=digest.hex()[:16], headers=headers)
