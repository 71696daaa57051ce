# SPDX-License-Identifier: GPL-3.0-or-later
"""`dialin room create` and its siblings, and what `dialin privacy` says of the store."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dialin.__main__ import cli
from dialin.app.beside import look_at_pins
from dialin.demo.bbb import DemoBbb
from dialin.errors import OperatorError
from dialin.settings import load
from dialin.static_rooms import StaticRooms
from dialin.store import opened_store
from tests.settings import SECRET, TOKEN

NOBODY = "http://127.0.0.1:9/bigbluebutton/"


def settings_in(
    folder: Path, *, url: str = NOBODY, secret: str = SECRET, keep: bool = True
) -> Path:
    file = folder / "dialin.toml"
    file.write_text(
        f"""
[service]
state_directory = "{folder / "state"}"
[store]
keep = {str(keep).lower()}
[trunks.lab]
allowed_sources = ["203.0.113.0/28"]
numbers = [{{ e164 = "+493023125100" }}]
[bbb_servers.main]
url = "{url}"
secret = "{secret}"
voice_host = "127.0.0.1"
[web]
token = "{TOKEN}"
"""
    )
    file.chmod(0o640)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return settings_in(tmp_path)


def dialin(*arguments: str, file: Path) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--config", str(file)])


def created(file: Path, *arguments: str) -> dict[str, object]:
    result = dialin("room", "create", *arguments, "--json", file=file)
    assert result.exit_code == 0, result.exception
    return dict(json.loads(result.stdout))


def test_a_room_is_given_a_pin_and_shown_with_it(file: Path) -> None:
    room = created(file, "physics", "--name", "Physics", "--lobby")
    shown = dialin("room", "show", "physics", file=file).output.splitlines()
    assert shown[:4] == [
        "room   physics",
        "name   Physics",
        f"PIN    {room['pin']}",
        "lobby  yes",
    ]
    assert shown[5:] == [f"create voiceBridge={room['pin']}", "create dialNumber=+49 30 23125100"]
    assert room["create_parameters"] == {
        "voiceBridge": room["pin"],
        "dialNumber": "+49 30 23125100",
    }
    assert len(str(room["pin"])) == 9
    assert json.loads(dialin("room", "show", "physics", "--json", file=file).output) == room


def test_a_server_that_does_not_answer_is_told_of(file: Path) -> None:
    result = dialin("room", "create", "physics", file=file)
    assert result.stderr == "main does not answer: its numbers were not compared.\n"
    assert result.exit_code == 0


async def test_a_pin_that_a_running_meeting_has_is_refused(tmp_path: Path) -> None:
    async with DemoBbb() as bbb:
        file = settings_in(tmp_path, url=bbb.url, secret=bbb.secret)
        wish = ["room", "create", "physics", "--pin", "123456789"]
        result = await asyncio.to_thread(dialin, *wish, file=file)
        assert isinstance(result.exception, OperatorError)
        assert "has this PIN" in str(result.exception)
        wish[2] = "demo"  # whose number it is
        result = await asyncio.to_thread(dialin, *wish, file=file)
        assert "PIN    123456789" in result.output


async def test_the_check_is_told_of_equal_numbers_and_of_the_risk(tmp_path: Path) -> None:
    async with DemoBbb() as bbb:
        file = settings_in(tmp_path, url=bbb.url, secret=bbb.secret)
        settings = load(file).settings
        assert (await look_at_pins(settings)).twins == ()
        async with opened_store(tmp_path / "state" / "dialin.db", consent_days=1) as store:
            static = StaticRooms(store)
            await static.load()
            room = await static.create("physics", pin="123456789")
        report = await look_at_pins(settings)
        (twin,) = report.twins
        assert (twin.static, twin.room.meeting_id) == (room, "demo")
        assert 0 < report.risk < 0.001
        assert report.silent == ()
    assert (await look_at_pins(settings)).silent == ("main",)
    in_memory = load(settings_in(tmp_path, keep=False)).settings
    assert (await look_at_pins(in_memory)).risk == 0


def test_a_pin_is_changed_for_another(file: Path) -> None:
    old = created(file, "physics")
    result = dialin("room", "rotate", "physics", "--json", file=file)
    assert json.loads(result.stdout)["pin"] != old["pin"]
    result = dialin("room", "rotate", "physics", "--pin", "12345678", file=file)
    assert "PIN    12345678" in result.output


def test_name_and_lobby_are_changed_and_the_pin_stays(file: Path) -> None:
    room = created(file, "physics", "--lobby")
    result = dialin("room", "change", "physics", "--name", "P", "--no-lobby", "--json", file=file)
    assert json.loads(result.output) == {**room, "name": "P", "lobby": False}


def test_a_pin_is_taken_back(file: Path) -> None:
    created(file, "physics")
    assert dialin("room", "delete", "physics", file=file).exit_code == 0
    result = dialin("room", "show", "physics", file=file)
    assert str(result.exception) == "No PIN was issued for 'physics'."


def test_rooms_are_listed_without_their_pins(file: Path) -> None:
    pins = [
        created(file, "physics", "--name", "Phys\u202eics")["pin"],
        created(file, "maths")["pin"],
    ]
    plain = dialin("room", "list", file=file).output
    assert plain == "physics\tPhys\N{REPLACEMENT CHARACTER}ics\nmaths\t\n"
    listed = dialin("room", "list", "--json", file=file).output
    assert [room["meeting_id"] for room in json.loads(listed)] == ["physics", "maths"]
    assert not any(str(pin) in plain + listed for pin in pins)


def test_what_cannot_be_is_told_in_a_sentence(file: Path) -> None:
    created(file, "physics")
    for arguments, told in (
        (["create", "physics"], "before"),
        (["create", "maths", "--pin", "1"], "5 to 11 digits"),
        (["rotate", "maths"], "No PIN was issued"),
    ):
        result = dialin("room", *arguments, file=file)
        assert isinstance(result.exception, OperatorError)
        assert told in str(result.exception)


def test_a_store_in_memory_is_the_services_alone(tmp_path: Path) -> None:
    result = dialin("room", "list", file=settings_in(tmp_path, keep=False))
    assert isinstance(result.exception, OperatorError)
    assert "store.keep" in str(result.exception)


def test_a_store_that_cannot_be_used_is_told_of_with_a_remedy(file: Path) -> None:
    (file.parent / "state").write_text("in the way")
    result = dialin("room", "list", file=file)
    assert isinstance(result.exception, OperatorError)
    assert result.exception.remedy.startswith("Run this as root")


def test_all_that_is_stored_is_printed_and_consents_are_erased(file: Path) -> None:
    room = created(file, "physics")

    async def consent() -> None:
        async with opened_store(file.parent / "state" / "dialin.db", consent_days=1) as store:
            for call, meeting in (("call-1", "physics"), ("call-2", "maths")):
                await store.record_consent(call, meeting, True, datetime.now(UTC))

    asyncio.run(consent())
    stored = json.loads(dialin("privacy", "export", file=file).output)
    del room["create_parameters"]  # made of the settings, not stored
    assert stored["static_rooms"] == [room]
    assert [one["call_id"] for one in stored["consents"]] == ["call-1", "call-2"]
    of_call = json.loads(dialin("privacy", "export", "--call", "call-2", file=file).output)
    assert of_call["static_rooms"] == []
    assert [one["meeting_id"] for one in of_call["consents"]] == ["maths"]
    copy = file.parent / "state" / "dialin.db.damaged"
    copy.write_text("old")
    assert dialin("privacy", "erase", "--meeting", "physics", file=file).output == "1 erased.\n"
    assert not copy.exists()
    assert dialin("privacy", "erase", "--all", file=file).output == "1 erased.\n"
    assert json.loads(dialin("privacy", "export", file=file).output)["consents"] == []


@pytest.mark.parametrize("arguments", [[], ["--all", "--call", "x"]])
def test_what_is_to_be_erased_has_to_be_said(file: Path, arguments: list[str]) -> None:
    assert dialin("privacy", "erase", *arguments, file=file).exit_code == 2
