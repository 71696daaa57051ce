# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the service manager how we are, where one wants to know (sd_notify(3)).

Datagrams to the socket that the environment names, and nothing else: without a manager every call
here does nothing. What is worth telling is decided by `app`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from time import CLOCK_MONOTONIC, clock_gettime_ns

log = logging.getLogger(__name__)


class ServiceManager:
    """The manager that started us, or nobody."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(environment)

    def ready(self) -> None:
        """Calls are taken; also the end of what `reloading` began."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`. Must hold nothing about a person."""
        self._tell(f"STATUS={text}")

    def reloading(self) -> None:
        """The settings are read anew, until `ready` (systemd 253: `Type=notify-reload`)."""
        now_us = clock_gettime_ns(CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now_us}")

    def stopping(self, within_s: float = 0.0) -> None:
        """The service is about to end, after so many seconds at most."""
        self._tell(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(within_s * 1e6)}")

    async def keep_watch(self, is_well: Callable[[], bool] = lambda: True) -> None:
        """Give signs of life until cancelled: the loop turns, and `is_well` says so.

        The manager kills and restarts a service whose signs stay away for too long.
        """
        if not self._watchdog_s:
            return
        while True:
            if is_well():
                self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)  # sd_watchdog_enabled(3) advises half

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.sendto(state.encode(), address)
        except OSError as error:  # a manager that has gone is no reason to end calls
            log.warning("the service manager cannot be told", extra={"cause": error.strerror})


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """How often signs of life are due; 0 where nobody looks for them."""
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    interval_us = environment.get("WATCHDOG_USEC", "")
    return int(interval_us) / 1e6 if is_ours and interval_us.isdecimal() else 0.0
