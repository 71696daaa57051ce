# SPDX-License-Identifier: GPL-3.0-or-later
"""The conference stand-in as a process of its own, that can be killed and started again.

It says on standard output where it listens, a line an address: `UDP 127.0.0.1 5080`. With
`--control` it then takes orders on standard input, a line each, and writes lines of JSON:
`{"change": "joined", "member": {...}}` whenever something happens to a member, and an answer to
each order, `{"answer": ...}` or `{"failed": "..."}`. The orders:

    members                   all members, as in the changes
    mute N | unmute N         as a moderator would; N is the member's number
    kick N                    likewise
    listen N HERTZ...         amplitudes of these tones: {"said": [...], "heard": [...]}
    end ROOM                  the meeting is over
    shut-down                 FreeSWITCH is stopped: BYEs with its reason; the process stays

It ends with SIGTERM or SIGINT, or when standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dialin.demo.conference import Conference, Member, open_conference
from dialin.demo.freeswitch import Dtmf
from dialin.demo.mixer_process import MixerLost
from dialin.demo.voice import Change
from dialin.sip import Listen


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    listen: tuple[Listen, ...]
    """Where calls are taken."""
    dtmf: Dtmf
    """The profile's `dtmf-type`."""
    chimes: tuple[str, ...]
    """Rooms in which somebody chimes."""
    takes_orders: bool
    """Whether standard input is listened to."""


def as_text(member: Member) -> dict[str, Any]:
    """A member, as lines of JSON have it: `number`, `room`, `name`, `caller_number`, `muted`."""
    return {
        "number": member.number,
        "room": member.room,
        "name": member.reading.name,
        "kind": member.reading.kind.value,
        "caller_number": member.caller.number,
        "muted": member.muted,
        "deaf": member.deaf,
        "keys": member.keys,
    }


async def obey(conference: Conference, order: str) -> Any:
    """Carry out one order; gives the answer. Raises LookupError, ValueError or MixerLost."""
    word, *arguments = order.split() or [""]
    match word, arguments:
        case "members", []:
            return [as_text(member) for member in conference.members()]
        case (("mute" | "unmute" | "kick"), [number]):
            member = _member(conference, number)
            {"mute": conference.mute, "unmute": conference.unmute, "kick": conference.kick}[word](
                member
            )
            return as_text(member)
        case "listen", [number, *tones]:
            hertz = [float(tone) for tone in tones]
            sounds = await conference.listen(_member(conference, number), hertz)
            said, heard = sounds.said.tones, sounds.heard.tones
            return {"said": list(said.values()), "heard": list(heard.values())}
        case "end", [room]:
            conference.end(room)
        case "shut-down", []:
            conference.shut_down()
        case _:
            raise ValueError("no such order")
    return None


def _member(conference: Conference, number: str) -> Member:
    for member in conference.members():
        if str(member.number) == number:
            return member
    raise LookupError("no such member")


async def take_orders(conference: Conference, orders: asyncio.StreamReader) -> None:
    """Obey line by line until there are no more."""

    def tell(member: Member, change: Change) -> None:
        write({"change": change.value, "member": as_text(member)})

    conference.listeners.append(tell)
    async for line in orders:
        try:
            write({"answer": await obey(conference, line.decode())})
        except (LookupError, ValueError, MixerLost) as error:
            write({"failed": str(error)})


def write(message: dict[str, Any]) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def run(options: Options) -> None:
    """Be a conference until told to stop."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with (
        open_conference(options.listen, dtmf=options.dtmf) as conference,
        asyncio.TaskGroup() as tasks,
    ):
        for room in options.chimes:
            await conference.play_chime(room)
        for address in conference.addresses:
            sys.stdout.write(f"{address.transport} {address.host} {address.port}\n")
        sys.stdout.flush()
        ordered = None
        if options.takes_orders:
            orders = asyncio.StreamReader()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
            ordered = tasks.create_task(take_orders(conference, orders))
            ordered.add_done_callback(lambda _: stopped.set())
        await stopped.wait()
        if ordered:
            ordered.cancel()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT, or until nobody gives orders any more."""
    parser = argparse.ArgumentParser(prog="python -m dialin.demo.conference")
    parser.add_argument("--sip", default="127.0.0.1:5080", metavar="HOST:PORT")
    parser.add_argument("--transport", action="append", choices=("udp", "tcp"))
    parser.add_argument("--dtmf", choices=("info", "rfc2833"), default="info")
    parser.add_argument("--chime", action="append", default=[], metavar="ROOM")
    parser.add_argument("--control", action="store_true", help="take orders on standard input")
    given = parser.parse_args(arguments)
    host, _, port = given.sip.rpartition(":")
    listen = tuple(
        Listen(transport.upper(), host.strip("[]"), int(port))
        for transport in given.transport or ("udp", "tcp")
    )
    asyncio.run(run(Options(listen, given.dtmf, tuple(given.chime), given.control)))
