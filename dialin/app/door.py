# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes each call in: whose it is, whether it may come in, and a task of its own for it.

How a call goes is left to `call`.
"""

from __future__ import annotations

import asyncio
import logging

from dialin.call import Call
from dialin.caller_leg import send_elsewhere
from dialin.events import INTERNAL_ERROR, UNKNOWN_NUMBER, CallError
from dialin.house import House
from dialin.log import call_context
from dialin.registry import Registry
from dialin.sip import IncomingLeg
from dialin.trunk import Trunk, Trunks, called_user

log = logging.getLogger(__name__)


class FrontDoor:
    """Takes each call in: whose it is, whether it may come in, and a task of its own for it."""

    def __init__(self, trunks: Trunks, registry: Registry, tasks: asyncio.TaskGroup) -> None:
        self._trunks = trunks
        self._registry = registry
        self._tasks = tasks
        self._house: House | None = None

    def open(self, house: House) -> None:
        """From now on calls are taken; before, they are asked to come back."""
        self._house = house

    def hears(self, host: str) -> bool:
        """Whether anything from this address is read at all: trunks and voice servers."""
        is_voice_server = self._house is not None and self._house.voice.knows(host)
        return is_voice_server or self._trunks.allows(host)

    def is_trunk(self, host: str) -> bool:
        """Whether this is a provider, and no voice server."""
        is_voice_server = self._house is not None and self._house.voice.knows(host)
        return self._trunks.allows(host) and not is_voice_server

    def take(self, leg: IncomingLeg) -> None:
        """A call has come in."""
        trunk = self._trunks.trunk_for(leg.flow.host, called_user(leg.request))
        if trunk is None:
            leg.reject(403)  # from a voice server: we call them, they do not call us
        elif self._house is None:
            send_elsewhere(leg)
        else:
            serving = self._serve(leg, trunk, self._house)
            self._tasks.create_task(serving, name=f"call {leg.id}")

    async def _serve(self, leg: IncomingLeg, trunk: Trunk, house: House) -> None:
        with call_context(leg.id):
            leg.session_timers = trunk.session_timers
            try:
                dialled = trunk.identify(leg.request)
                with self._registry.admit(
                    leg.id, trunk=trunk.name, number_called=dialled.number_called
                ) as record:
                    await Call(
                        leg,
                        dialled,
                        record,
                        house,
                        media_networks=trunk.media_networks,
                        encryption=trunk.encryption,
                    ).run()
                log.info(
                    "call ended",
                    extra={
                        "reason": str(record.reason),
                        "trunk": trunk.name,
                        "duration_s": round(record.duration_s, 1),
                    },
                )
            except CallError as refusal:
                if refusal.reason is UNKNOWN_NUMBER:
                    self._registry.turn_away(trunk.name, UNKNOWN_NUMBER)
                    leg.reject(404)
                else:
                    send_elsewhere(leg)
                log.info("call refused", extra={"reason": str(refusal.reason), "trunk": trunk.name})
            except Exception:  # one poisoned call must not end the service
                log.exception("a call failed")
                self._registry.turn_away(trunk.name, INTERNAL_ERROR)
                send_elsewhere(leg)
