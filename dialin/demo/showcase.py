# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo has to show besides its three rooms, and the text that says so.

A room that is recorded, one with a PIN of its own that no server knows yet, and one whose host lets
callers in one by one. How the demo is run is left to `run`.
"""

from __future__ import annotations

import time
from pathlib import Path

from dialin.demo.rooms import DemoRoom, demo_rooms
from dialin.links import LinkKey, Right
from dialin.static_rooms import StaticRooms
from dialin.store import FILE_NAME, opened_store

RECORDED, WEEKLY, LOBBY = "recorded", "weekly", "lobby"
RECORDED_PIN, WEEKLY_PIN, LOBBY_PIN = "246813579", "345345345", "864286428"
LINK_WORKS_FOR_S = 30 * 24 * 3600

WELCOME = """\
dialin is up, with a stand-in for BigBlueButton beside it. Everything is on this machine.

  call           sip:dialin@{sip}   (UDP or TCP, no registration; for example
                 baresip -e '/dial sip:dialin@{sip}')
  key a PIN      123456789#   room "demo": somebody chimes there
                 1234567891#  its breakout room
                 555666777#   room "later": opens 20 s after the first caller waits
                 246813579#   room "recorded": you are told so
                 345345345#   room "weekly": a PIN that stays, while meetings come and go;
                              it has no meeting yet, and opens 20 s after the first caller waits
                 864286428#   room "lobby": you wait until its host lets you in
  then press     *1 help, *6 mute, *9 raise your hand, *# how many are here, *0 another room
  be its host    http://{http}{host_page}
  see the calls  curl {authorization}http://{http}/api/v1/calls
  see its health http://{http}/readyz and http://{http}/metrics
  see the pages  http://{http}/ for callers; http://{http}/console for operators, who log in with
                 the TOKEN of `dialin demo --token TOKEN`
  stop           Ctrl-C

`dialin demo --call` places a call by itself and tells its story.
"""


def rooms_to_show() -> list[DemoRoom]:
    """All rooms that the demo's server has from the start; "weekly" is not among them."""
    return [
        *demo_rooms(),
        DemoRoom(RECORDED, "Recorded room", RECORDED_PIN, running=True, recording=True),
        DemoRoom(LOBBY, "Room with a lobby", "975319753", running=True),
    ]


async def issue_pins(folder: Path) -> None:
    """Put the PINs that stay into the service's store, before it starts."""
    async with opened_store(folder / FILE_NAME, consent_days=0) as store:
        static = StaticRooms(store)
        await static.load()
        await static.create(WEEKLY, name="Weekly", pin=WEEKLY_PIN)
        await static.create(LOBBY, name="Room with a lobby", lobby=True, pin=LOBBY_PIN)


def welcome(sip: str, http: str, token: str | None, link_secret: str) -> str:
    """What to do next. `sip` and `http` are HOST:PORT."""
    expires = int(time.time()) + LINK_WORKS_FOR_S
    return WELCOME.format(
        sip=sip,
        http=http,
        authorization=f"-H 'Authorization: Bearer {token}' " if token else "",
        host_page=LinkKey(link_secret).link(LOBBY, Right.HOST, expires).path(),
    )
