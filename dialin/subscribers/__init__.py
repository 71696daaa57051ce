# SPDX-License-Identifier: GPL-3.0-or-later
"""Outgoing webhooks: others are told that callers wait, come and go.

    registry ─▶ happenings ─▶ Subscriber ─▶ a queue each ─▶ POST, signed, until it is taken

Each subscriber has its own queue and its own task, so that one who is dead, slow or broken delays
neither calls nor the others. What is posted is described in `web.api.posts`. The queues are in
memory: what is not taken when the service stops is lost.
"""

from dialin.subscribers.delivery import Subscriber, Tally
from dialin.subscribers.desk import Calls, Desk, opened_desk

__all__ = ["Calls", "Desk", "Subscriber", "Tally", "opened_desk"]
