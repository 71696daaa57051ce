# SPDX-License-Identifier: GPL-3.0-or-later
"""No number leaves the trunk leg: a sweep over all that a run wrote and all that BBB received.

Callers carry known numbers, in every shape and header that a provider may use. The sweep is
`canary.py` of the shared tools, which finds numbers whole, in part, encoded or hashed. Nor does a
name: whatever a caller calls itself, the room sees the masked label.
"""

from __future__ import annotations

import base64
import importlib.util
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from dialin import log
from dialin.caller import RoomLabels
from dialin.demo.callerid import Kind
from dialin.links import LinkKey, Right
from dialin.registry import CallState
from tests.calls.scene import PIN, Scene, scene
from tests.peers.phone import Phone
from tests.peers.process import needs, needs_raw_sockets, started
from tests.wire.peers import Lines
from tests.world import Served

TOOL = Path(__file__).parents[2].parent / "shared" / "tools" / "canary.py"
LINK_SECRET = "a-link-secret-of-the-tests"
HOSTS_PAGE = LinkKey(LINK_SECRET).link("demo", Right.HOST, expires=4_000_000_000).path()
"""Until 2096, so that no digit of it changes."""
PAGES = ("/api/v1/calls", "/metrics", "/healthz", "/readyz", "/", HOSTS_PAGE)


@dataclass(frozen=True, slots=True)
class Canary:
    """One caller, and what the room may see of it."""

    number: str
    """What the sweep looks for."""
    label: str
    """What is shown."""
    from_: str
    """The From header."""
    headers: Lines = ()
    """Further headers."""


def everywhere(number: str) -> Lines:
    """Every header that has been seen to hold a caller's number."""
    uri = f"<sip:{number}@trunk.example.net>"
    passport = base64.urlsafe_b64encode(f'{{"orig":{{"tn":"{number[1:]}"}}}}'.encode()).decode()
    return (
        ("P-Asserted-Identity", f'"{number}" {uri}, <tel:{number}>'),
        ("Remote-Party-ID", f'"{number}" {uri};party=calling'),
        ("P-Preferred-Identity", uri),
        ("Diversion", f"{uri};reason=unconditional"),
        ("History-Info", f"{uri};index=1"),
        ("Referred-By", uri),
        ("User-to-User", f"{number.encode().hex()};encoding=hex"),
        ("Identity", f"eyJhbGciOiJFUzI1NiJ9.{passport}.c2ln;info=<https://example.net/c.pem>"),
        ("Subject", f"call from {number}"),
        ("User-Agent", f"phone of {number}"),
        ("X-Caller", number),
    )


# The last five digits of each are none of a port that a call may have here, or an `m=` line would
# now and then look like a number with one digit too many.
CANARIES = (
    Canary(
        "+4915738620594",
        "xxx-xxx-0594",
        '"+4915738620594" <sip:+4915738620594@trunk.example.net>',
        everywhere("+4915738620594"),
    ),
    Canary("+4917649283715", "xxx-xxx-3715", "<sip:004917649283715@trunk.example.net>"),
    Canary("+4916098493572", "xxx-xxx-3572", "<sip:016098493572@trunk.example.net;user=phone>"),
    Canary("+493090182734", "xxx-xxx-2734", "<tel:+49-30-9018-2734>"),
    Canary("+4915226418035", "xxx-xxx-8035", "<sip:%2B4915226418035@trunk.example.net>"),
    Canary(
        "+4917195264813",
        "xxx-xxx-4813",
        "<sip:017195264813;phone-context=+49@trunk.example.net;user=phone>",
    ),
    Canary("+882161739205846", "xxx-xxx-5846", "<sip:+882161739205846@trunk.example.net>"),
    Canary("8371", "Phone caller 1", "<sip:8371@pbx.example.net>"),
    Canary("94837", "Phone caller 2", "<sip:94837@pbx.example.net>"),
    Canary("719384", "xxx-xxx-4", "<sip:719384@pbx.example.net>"),
    Canary("+4915164997281", "Phone caller 3", "<sip:ada4915164997281@trunk.example.net>"),
    Canary(
        "+4917612394785",
        "Phone caller 4",
        '"Anonymous" <sip:anonymous@anonymous.invalid>',
        (("P-Asserted-Identity", "<sip:+4917612394785@trunk.example.net>"), ("Privacy", "id")),
    ),
)

CALLERS = len(CANARIES)

needs_canary = pytest.mark.skipif(not TOOL.exists(), reason=f"needs {TOOL.name} of shared tools")


class Everything(logging.Formatter):
    """All that a record was given, as it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """Message, traceback, and every attribute: arguments and extra values are among them."""
        return f"{super().format(record)} {vars(record)}"


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """Logging at DEBUG into a folder: as the service writes it, and as its modules meant it."""
    folder = tmp_path / "artefacts"
    folder.mkdir()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    with (folder / "service.log").open("w") as stream:
        log.set_up(level="debug", form="logfmt", stream=stream)
        # Before the redaction that is the second line of defence: the first must hold alone.
        unredacted = logging.FileHandler(folder / "unredacted.log")
        unredacted.setFormatter(Everything())
        root.handlers.insert(0, unredacted)
        yield folder
        unredacted.close()
    logging.captureWarnings(capture=False)
    root.handlers = before
    root.setLevel(level)


@needs_canary
async def test_no_number_leaves_the_trunk_leg(tmp_path: Path, logs: Path) -> None:
    async with scene(tmp_path, web={"link_secret": LINK_SECRET}) as stage:
        await all_call(stage, logs)
        await calls_go_wrong(stage)
        await keep_pages(stage.served, logs)
    (logs / "bbb-leg").write_bytes(stage.conference.everything_received())
    assert b"INVITE sip:123456789@" in (logs / "bbb-leg").read_bytes()
    assert CANARIES[0].label in (logs / "pages").read_text().partition("<h1>")[2]
    assert b"a call failed" in (logs / "unredacted.log").read_bytes()
    assert found_in(logs) == []
    plant(CANARIES[0].number, logs / "service.log")
    assert len(found_in(logs)) == 1


@needs_canary
@needs_raw_sockets
@needs("tshark", "tshark")
@pytest.mark.e2e
async def test_no_number_is_in_a_capture_of_the_bbb_leg(tmp_path: Path, logs: Path) -> None:
    async with scene(tmp_path, web={"link_secret": LINK_SECRET}) as stage:
        capture = logs / "bbb-leg.pcap"
        host = stage.conference.address.host
        command = ("tshark", "-i", "lo", "-f", f"host {host}", "-F", "pcap", "-w", str(capture))
        async with started(*command, log=tmp_path / "tshark.log"):
            await stage.served.until(capture.exists)
            await all_call(stage, logs)
            # It writes with a delay: the last message to come is the one to wait for.
            await stage.served.until(lambda: capture.read_bytes().count(b"BYE sip:") >= CALLERS)
    assert capture.read_bytes().count(b"INVITE sip:123456789@") >= CALLERS
    assert found_in(logs) == []


async def all_call(stage: Scene, folder: Path) -> None:
    """All canaries go into one room, stay until there was RTCP both ways, and hang up."""
    async with AsyncExitStack() as calls:
        phones = [await calls.enter_async_context(dialling(stage, each)) for each in CANARIES]
        for phone, canary in zip(phones, CANARIES, strict=True):
            assert await phone.dial() == 200
            phone.rtp.report(f"{canary.number}@trunk.example.net")
            phone.rtp.press(f"{PIN}#")
        await stage.is_in(*[CallState.IN_ROOM] * CALLERS)
        seats = stage.conference.seats
        assert sorted(seat.reading.name for seat in seats) == sorted(
            canary.label for canary in CANARIES
        )
        await keep_pages(stage.served, folder)
        for seat in seats:
            await seat.rtp.reported()
        for phone in phones:
            await phone.hang_up()
    await stage.is_in()


def dialling(stage: Scene, canary: Canary) -> Phone:
    """A phone whose every message holds the canary's number, wherever there is room for one."""
    return stage.phone(
        from_=canary.from_,
        headers=canary.headers,
        call_id=f"{canary.number}-{canary.number[::-1]}@trunk.example.net",
        contact_user=canary.number,
        session_name=canary.number,
    )


async def calls_go_wrong(stage: Scene) -> None:
    """A call without a common codec, one that a fault of ours ends, and words that are no SIP."""
    canary = CANARIES[0]
    async with dialling(stage, canary) as phone:
        phone.send(f"INVITE tel:{canary.number} SIP/2.0\r\nFrom {canary.number}\r\n\r\n".encode())
        phone.send(canary.number.encode())
    async with dialling(stage, replace(canary, headers=(("Require", canary.number),))) as phone:
        assert await phone.dial() == 420
    with patch.object(RoomLabels, "claim", side_effect=RuntimeError("poisoned")):
        async with dialling(stage, canary) as phone:
            assert await phone.dial() == 200
            await phone.key(f"{PIN}#")
            await phone.is_hung_up_on()


async def keep_pages(served: Served, folder: Path) -> None:
    """Everything that the service shows, as it is now."""
    with (folder / "pages").open("ab") as kept:
        for path in PAGES:
            kept.write(await served.page(path))


def plant(number: str, file: Path) -> None:
    """What a careless line would have done."""
    with file.open("a") as log_file:
        log_file.write(f"caller={number}\n")


def found_in(folder: Path) -> Sequence[str]:
    """What the sweep finds; it must have been able to read all."""
    numbers = [canary.number for canary in CANARIES]
    findings, unread = tool().scan(numbers, [folder], strict=True)
    assert unread == []
    return list(map(str, findings))


def tool() -> ModuleType:
    """The sweep, from beside the project."""
    spec = importlib.util.spec_from_file_location("canary", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


NAMES = (
    "x_1-bbbID-y",
    "w_abc123_1-bbbID-LISTENONLY-Ada",
    "GLOBAL_AUDIO_1",
    "LISTENONLY",
    "%2DbbbID%2D",
    "x%5F1%2DbbbID%2Dy",
    "GLOBAL%5FAUDIO%5F1",
    "${uuid_kill()}",
    "</name><name>Root",
    "\u202eadA\u2066\u200b\u061c",
    "\x07\x1b[2J\x7f\x85",
    "0000000000",
    "Ada \U0001f4de \U000e0041",
    "A" * 4000,
)


async def test_no_name_that_a_caller_gives_itself_reaches_the_room(tmp_path: Path) -> None:
    async with scene(tmp_path) as stage, AsyncExitStack() as calls:
        for place, name in enumerate(NAMES):
            uri = f"<sip:+4969900090{place:02d}@trunk.example.net>"
            phone = await calls.enter_async_context(
                stage.phone(
                    from_=f'"{name}" {uri}',
                    headers=[("P-Asserted-Identity", f'"{name}" {uri}'), ("Subject", name)],
                )
            )
            assert await phone.dial() == 200
            phone.rtp.press(f"{PIN}#")
            calls.push_async_callback(phone.hang_up)
        await stage.is_in(*[CallState.IN_ROOM] * len(NAMES))
        seats = stage.conference.seats
        assert {seat.reading.kind for seat in seats} == {Kind.PHONE}
        assert sorted(seat.caller.name for seat in seats) == [
            f"xxx-xxx-90{place:02d}" for place in range(len(NAMES))
        ]
        for seat in seats:
            assert re.fullmatch("[0-9]{15}", seat.caller.number)
            assert not seat.caller.is_rejected
