# SPDX-License-Identifier: GPL-3.0-or-later
"""The legs of one worker, and what each command of the service does to them.

Sockets are watched and time is kept by `worker`; what a leg does is in `leg`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import singledispatchmethod

from dialin.media.leg import Leg
from dialin.media.messages import (
    Answer,
    Begin,
    CannotDo,
    Cause,
    CloseLeg,
    Configure,
    Count,
    Counted,
    Done,
    Join,
    Mute,
    Opened,
    OpenLeg,
    Part,
    Ping,
    Play,
    SendDigits,
    SetAside,
    SetVolume,
    Start,
    StopPlaying,
)
from dialin.media.ports import PortPool
from dialin.media.surroundings import Surroundings


class Switchboard:
    """Carries out commands."""

    def __init__(self, settings: Begin, surround: Callable[[int], Surroundings]) -> None:
        self.pool = PortPool(settings.first_port, settings.last_port, settings.quarantine_s)
        self._settings = settings
        self._surround = surround
        self._legs: dict[int, Leg] = {}

    @property
    def has_legs(self) -> bool:
        """Whether there is anything to do at short notice."""
        return bool(self._legs)

    def drop(self, number: int, now: float) -> None:
        """Forget a leg that has failed, in whatever state it is. Its bridge partner goes on."""
        leg = self._legs.pop(number, None)
        if leg is None:  # it failed before it was one
            return
        with contextlib.suppress(Exception):
            leg.part(now)
        leg.stop(None)
        self.pool.give_back(leg.pair, now)

    def close(self, now: float) -> None:
        """Close all legs and give up all ports."""
        while self._legs:
            _, leg = self._legs.popitem()
            leg.close(now)
            leg.pair.close()
        self.pool.close()

    @singledispatchmethod
    def carry_out(self, command: object, now: float) -> Answer | None:
        """Do what a command says. None: the answer comes later. Raises CannotDo."""
        raise TypeError(f"not a command: {type(command).__name__}")

    @carry_out.register
    def _ping(self, command: Ping, _now: float) -> Answer:
        return Done(command.request)

    @carry_out.register
    def _set_aside(self, command: SetAside, now: float) -> Answer:
        self.pool.set_aside(command.host, command.port, now)
        return Done(command.request)

    @carry_out.register
    def _open(self, command: OpenLeg, now: float) -> Answer:
        self.pool.release(now)
        pair = self.pool.lease(command.host)
        try:
            self._legs[command.leg] = Leg(
                pair,
                self._surround(command.leg),
                media_timeout_s=command.media_timeout_s or self._settings.media_timeout_s,
                learns_port=self._settings.latch == "same-ip",
            )
        except Exception:
            self.pool.give_back(pair, now)
            raise
        return Opened(command.request, pair.port)

    @carry_out.register
    def _configure(self, command: Configure, now: float) -> Answer:
        self._leg(command.leg).configure(command.settings, now)
        return Done(command.request)

    @carry_out.register
    def _start(self, command: Start, now: float) -> Answer:
        self._leg(command.leg).start(now)
        return Done(command.request)

    @carry_out.register
    def _play(self, command: Play, now: float) -> None:
        leg = self._leg(command.leg)
        leg.play(command.request, command.clips, command.repeat, now)

    @carry_out.register
    def _send_digits(self, command: SendDigits, now: float) -> None:
        leg = self._leg(command.leg)
        leg.press(command.request, command.keys, command.payload_type, now)

    @carry_out.register
    def _stop_playing(self, command: StopPlaying, _now: float) -> Answer:
        self._leg(command.leg).stop(command.only)
        return Done(command.request)

    @carry_out.register
    def _join(self, command: Join, now: float) -> Answer:
        self._leg(command.leg).join(self._leg(command.other), now)
        return Done(command.request)

    @carry_out.register
    def _part(self, command: Part, now: float) -> Answer:
        leg, other = self._leg(command.leg), self._leg(command.other)
        if leg.bridge and leg.bridge.joins(leg, other):
            leg.part(now)
        return Done(command.request)

    @carry_out.register
    def _mute(self, command: Mute, now: float) -> Answer:
        self._leg(command.leg).mute(command.is_muted, now)
        return Done(command.request)

    @carry_out.register
    def _set_volume(self, command: SetVolume, _now: float) -> Answer:
        self._leg(command.leg).set_volume(command.gain_db)
        return Done(command.request)

    @carry_out.register
    def _count(self, command: Count, _now: float) -> Answer:
        return Counted(command.request, self._leg(command.leg).statistics())

    @carry_out.register
    def _close_leg(self, command: CloseLeg, now: float) -> Answer:
        leg = self._leg(command.leg)
        leg.close(now)
        del self._legs[command.leg]
        self.pool.give_back(leg.pair, now)
        return Counted(command.request, leg.statistics())

    def _leg(self, number: int) -> Leg:
        leg = self._legs.get(number)
        if leg is None:
            raise CannotDo(Cause.NO_SUCH_LEG)
        return leg
