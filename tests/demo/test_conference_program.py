# SPDX-License-Identifier: GPL-3.0-or-later
"""The conference stand-in as a process of its own: killed, started again, and told what to do."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sys

import pytest

from dialin.demo import conference_program
from dialin.demo.conference import Conference
from dialin.demo.conference_program import Options, main, obey, run, take_orders
from dialin.sip import Listen
from tests.demo.callers import (
    LABEL,
    LOOPBACK,
    PSEUDONYM,
    ROOM,
    WAIT_S,
    Caller,
    open_caller_endpoint,
)
from tests.fakes.tone_phone import TonePhone
from tests.peers.conference_process import ConferenceProcess, OrderFailed


class TestProgram:
    async def test_it_can_be_killed_and_started_again_on_the_same_port(self) -> None:
        async with (
            await open_caller_endpoint() as endpoint,
            TonePhone(450) as ann,
            TonePhone(700) as bob,
            ConferenceProcess("--chime", ROOM) as conference,
        ):
            await Caller(endpoint, conference.way).join(ann)
            before = conference.way
            await conference.kill()
            assert conference.members() == ()
            await conference.start()
            assert conference.way == before
            await Caller(endpoint, conference.way).join(bob)
            async with asyncio.timeout(WAIT_S):
                while not any(abs(sample) > 500 for sample in await bob.hear()):
                    pass
            assert await conference.stop() == 0

    async def test_it_takes_orders_and_tells_what_happens(self) -> None:
        async with (
            await open_caller_endpoint() as endpoint,
            TonePhone(450) as ann,
            TonePhone(700) as bob,
            ConferenceProcess() as conference,
        ):
            told: list[tuple[str, str]] = []
            conference.tell(lambda room, one, change: told.append((one.name, f"{room} {change}")))
            caller = Caller(endpoint, conference.way)
            await caller.join(ann)
            leg, _ = await caller.join(bob, display="xxx-xxx-1111")
            await conference.until(lambda seen: len(seen.members(ROOM)) == 2)
            assert conference.phone_callers(ROOM) == [
                (LABEL, PSEUDONYM, False, 1),
                ("xxx-xxx-1111", PSEUDONYM, False, 2),
            ]
            await conference.order("mute 1")
            assert conference.phone_callers(ROOM)[0].muted
            async with asyncio.timeout(WAIT_S):
                assert await bob.tones_heard((450,)) == set()
                while (await conference.order("listen 2 700"))["said"][0] < 500:
                    pass
            await conference.order("unmute 1")
            assert [member["muted"] for member in await conference.order("members")] == [False] * 2
            await conference.order("kick 2")
            assert (await asyncio.wait_for(leg.ended, WAIT_S)).by == "peer"
            await conference.until(lambda seen: len(seen.members()) == 1)
            await conference.order(f"end {ROOM}")
            await conference.until(lambda seen: not seen.members())
            await conference.order("shut-down")
            with pytest.raises(OrderFailed, match="no such member"):
                await conference.order("mute 9")
        of_ann = [what for name, what in told if name == LABEL]
        assert of_ann == [f"{ROOM} {what}" for what in ("joined", "muted", "unmuted", "left")]

    async def test_every_order_is_obeyed(self, conference: Conference, caller: Caller) -> None:
        async with TonePhone(450) as ann, asyncio.timeout(WAIT_S):
            await caller.join(ann)
            await conference.until(lambda seen: bool(seen.members()))
            for order, muted in (("mute 1", True), ("unmute 1", False)):
                assert (await obey(conference, order))["muted"] is muted
            assert len((await obey(conference, "listen 1 450 700"))["said"]) == 2
            for order in ("kick 1", f"end {ROOM}", "shut-down"):
                await obey(conference, order)
            await conference.until(lambda seen: not seen.members())
            with pytest.raises(LookupError, match="no such member"):
                await obey(conference, "kick 1")

    async def test_changes_are_told_as_lines(
        self, conference: Conference, caller: Caller, capsys: pytest.CaptureFixture[str]
    ) -> None:
        orders = asyncio.StreamReader()
        orders.feed_eof()
        await take_orders(conference, orders)
        async with TonePhone(450) as ann, asyncio.timeout(WAIT_S):
            await caller.join(ann)
            await conference.until(lambda seen: bool(seen.members()))
        assert '{"change": "joined", "member": {"number": 1' in capsys.readouterr().out

    @pytest.mark.parametrize("order", ["", "sing", "mute", "mute 1 2", "end", "shut-down now"])
    async def test_it_says_what_it_does_not_understand(
        self, conference: Conference, order: str
    ) -> None:
        with pytest.raises(ValueError, match="no such order"):
            await obey(conference, order)

    async def test_it_says_where_it_listens_and_ends_on_a_signal(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Terminal(io.StringIO):
            def flush(self) -> None:
                os.kill(os.getpid(), signal.SIGTERM)

        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        async with asyncio.timeout(WAIT_S):
            await run(Options(tuple(LOOPBACK), "info", (ROOM,), takes_orders=False))
        assert re.fullmatch(r"UDP 127\.0\.0\.1 [0-9]+\n", terminal.getvalue())

    async def test_it_ends_when_nobody_gives_orders_any_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, write = os.pipe()
        os.write(write, b"members\nsing\n")
        os.close(write)
        terminal = io.StringIO()
        monkeypatch.setattr(sys, "stdout", terminal)
        with os.fdopen(read) as orders:
            monkeypatch.setattr(sys, "stdin", orders)
            async with asyncio.timeout(WAIT_S):
                await run(Options(tuple(LOOPBACK), "info", (), takes_orders=True))
        assert terminal.getvalue().splitlines()[1:] == [
            '{"answer": []}',
            '{"failed": "no such order"}',
        ]

    def test_the_command_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Options] = []

        async def note(options: Options) -> None:
            seen.append(options)

        monkeypatch.setattr(conference_program, "run", note)
        main(
            [
                "--sip",
                "[::1]:5080",
                "--dtmf",
                "rfc2833",
                "--chime",
                "1",
                "--chime",
                "2",
                "--control",
            ]
        )
        listen = (Listen("UDP", "::1", 5080), Listen("TCP", "::1", 5080))
        assert seen == [Options(listen, "rfc2833", ("1", "2"), takes_orders=True)]
