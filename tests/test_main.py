# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: what is passed on, what is told, and with which exit status."""

from __future__ import annotations

import importlib
import logging
import socket
import subprocess
import sys
import tomllib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from dialin import __main__ as command_line
from dialin import trunk_call
from dialin.commands import usual as usual_settings
from dialin.errors import OperatorError
from dialin.phone import CallReport, HungUpBy, Recording, Step
from dialin.presets import page
from dialin.settings import Settings
from dialin.settings.pages import example, reference
from dialin.systemd import ServiceManager
from tests.settings import SECRET, TOKEN

TOML = f"""
[sip]
listen = [
  {{ transport = "tcp", host = "0.0.0.0", port = 5070 }},
  {{ transport = "udp", host = "0.0.0.0", port = 5071 }},
]
[trunks.lab]
allowed_sources = ["127.0.0.0/8"]
numbers = [{{ e164 = "+493012345678" }}]
[bbb_servers.main]
url = "https://bbb.example.org/bigbluebutton/"
secret = "{SECRET}"
[web]
token = "{TOKEN}"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dialin.toml"
    path.write_text(TOML)
    path.chmod(0o640)
    return path


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    yield
    logging.captureWarnings(capture=False)
    root.handlers = before
    root.setLevel(level)


@pytest.fixture(autouse=True)
def no_usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    usual = tmp_path / "etc.toml"
    monkeypatch.setattr(usual_settings, "DEFAULT_FILE", usual)
    return usual


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a module in the place of one that a command imports when it is called."""

    def replace(name: str, **members: object) -> None:
        module = SimpleNamespace(**members)
        monkeypatch.setitem(sys.modules, f"dialin.{name}", module)
        package, _, last = f"dialin.{name}".rpartition(".")
        parent = importlib.import_module(package)
        monkeypatch.setattr(parent, last, module, raising=False)

    return replace


def invoke(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(command_line.cli, [str(part) for part in arguments], input=text)


@pytest.mark.parametrize(
    "command", [[], ["run"], ["demo"], ["call"], ["check"], ["config"], ["config", "show"]]
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_explains_itself(command: list[str], flag: str) -> None:
    result = invoke(*command, flag)

    assert result.exit_code == 0
    assert "Usage: " in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run", "--nonsense"],
        ["demo", "--sip", "nonsense"],
        ["demo", "--record", "x.wav"],
        ["call", "--to", "127.0.0.1"],
        ["call", "--talk-hz", "1"],
        ["call", "--phone", "own", "--talk-hz", "440"],
        ["call", "--phone", "theirs"],
        ["call", "--trunk", "lab"],
        ["call", "--trunk", "lab", "--phone", "own", "--to", "127.0.0.1:5060"],
        ["call", "--trunk", "lab", "--phone", "own", "--caller", "+4915738620594"],
        ["config", "show", "--config", "/"],
    ],
)
def test_wrong_usage_is_exit_status_2(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_the_version_is_told() -> None:
    assert invoke("--version").output.startswith("dialin, version ")


class Service:
    """Plays `dialin.app`."""

    def __init__(self, status: int = 0, error: BaseException | None = None) -> None:
        self.settings: Settings | None = None
        self.anew: Settings | None = None
        self.status = status
        self.error = error

    async def run(
        self, settings: Settings, *, load: Callable[[], Settings], manager: ServiceManager
    ) -> int:
        self.settings = settings
        self.anew = load()
        logging.getLogger("dialin.app").info("begun")
        manager.ready()
        if self.error:
            raise self.error
        return self.status


@pytest.mark.parametrize("status", [0, 1])
def test_run_runs_the_service_with_its_settings(
    stand_in: Callable[..., None], file: Path, status: int
) -> None:
    service = Service(status)
    stand_in("app", run=service.run)
    result = invoke("run", "--config", file)

    assert result.exit_code == status
    assert service.settings
    assert service.anew == service.settings
    assert service.settings.trunks["lab"].numbers[0].e164 == "+493012345678"
    assert "info dialin.app msg=begun" in result.stderr


def test_run_logs_what_should_be_mended(stand_in: Callable[..., None], file: Path) -> None:
    file.chmod(0o644)
    stand_in("app", run=Service().run)
    result = invoke("run", "--config", file)

    assert "warning dialin.__main__" in result.stderr
    assert "everybody on this machine can read" in result.stderr


def test_run_logs_as_the_settings_say(stand_in: Callable[..., None], file: Path) -> None:
    file.write_text(f'{TOML}\n[log]\nlevel = "error"\nformat = "json"\n')
    service = Service(error=None)
    stand_in("app", run=service.run)

    assert invoke("run", "--config", file).stderr == ""


def test_the_service_manager_is_told_when_calls_are_taken(
    stand_in: Callable[..., None], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("app", run=Service().run)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert invoke("run", "--config", file).exit_code == 0
        assert manager.recv(100) == b"READY=1"


def test_demo_hands_on_what_it_was_told(stand_in: Callable[..., None]) -> None:
    told: list[object] = []

    def main(*arguments: object) -> int:
        told.extend(arguments)
        return 0

    stand_in("demo.run", main=main)
    result = invoke(
        "demo", "--sip", "[::1]:5070", "--http", "127.0.0.1:0", "--token", "t", "--call"
    )

    assert result.exit_code == 0
    assert told == ["[::1]:5070", "127.0.0.1:0", "t", True, None]


def test_demo_has_its_places_and_its_result(stand_in: Callable[..., None]) -> None:
    told: list[object] = []

    def main(*arguments: object) -> int:
        told.extend(arguments)
        return 1

    stand_in("demo.run", main=main)
    result = invoke("demo", "--call", "--record", "heard.wav")

    assert result.exit_code == 1
    assert told == ["127.0.0.1:5060", "127.0.0.1:8080", None, True, Path("heard.wav")]


class Phone:
    """Plays `dialin.phone`."""

    def __init__(self, report: CallReport) -> None:
        self.report = report
        self.called: tuple[object, ...] = ()
        self.said: dict[str, Any] = {}

    def place_call(self, *arguments: object, **named: Any) -> CallReport:
        self.called, self.said = arguments, named
        named["on_step"](Step.ANSWERED)
        return self.report


def report(
    *,
    answered: bool = True,
    refused_with: int | None = None,
    first_sound_s: float | None = 0.5,
) -> CallReport:
    return CallReport(
        answered_after_s=0.25 if answered else None,
        refused_with=refused_with,
        hung_up_by=HungUpBy.US if answered else HungUpBy.NOBODY,
        keyed_at_s=None,
        lasted_s=12.0 if answered else 0.0,
        steps=(),
        heard=Recording(array("h", [8000, -8000] * 4000), 1.0, first_sound_s),
    )


def test_call_dials_the_service_on_this_machine(stand_in: Callable[..., None], file: Path) -> None:
    phone = Phone(report())
    stand_in("phone", place_call=phone.place_call)
    result = invoke("call", "--config", file, "--pin", "123456789")

    assert result.exit_code == 0
    assert phone.called == ("127.0.0.1", 5071, "+493012345678")
    assert phone.said["keys"] == "123456789#"
    assert phone.said["listen_s"] == 10.0
    assert result.output.splitlines() == [
        "answered",
        "Answered after 0.2 s.",
        "Heard sound for 1.0 s.",
        "Hung up after 12.0 s by us.",
    ]


@pytest.mark.parametrize(("was_heard", "status"), [(True, 0), (False, 1)])
def test_our_own_phone_may_call_instead(
    stand_in: Callable[..., None], *, was_heard: bool, status: int
) -> None:
    calls: list[object] = []

    async def place(host: str, port: int, script: object, *, on_step: Any) -> bool:
        calls.append((host, port, script))
        on_step("answered")
        return was_heard

    stand_in("own_call", place=place, Script=lambda *parts: parts)
    result = invoke(
        *("call", "--phone", "own", "--to", "127.0.0.1:5060", "--number", "+493012345678"),
        *("--pin", "-", "--listen-s", 3),
        text="12345\n",
    )
    assert result.exit_code == status
    assert result.output == "answered\n"
    assert calls == [("127.0.0.1", 5060, ("+493012345678", "anonymous", "12345#", 3.0))]


def provider(file: Path) -> None:
    """Give the trunk a server that takes calls."""
    text = file.read_text()
    file.write_text(text.replace("[trunks.lab]\n", '[trunks.lab]\noutbound_proxy = "192.0.2.1"\n'))


@pytest.mark.parametrize(("is_well", "status"), [(True, 0), (False, 1)])
def test_a_call_may_go_out_by_a_trunk_and_back_in(
    stand_in: Callable[..., None], file: Path, *, is_well: bool, status: int
) -> None:
    provider(file)
    placed: list[tuple[Any, Any, Any]] = []

    async def place(way: Any, wish: Any, *, listen: Any, calls: Any, on_step: Any) -> bool:
        placed.append((way, wish, listen))
        on_step("in-room")
        return is_well

    stand_in("trunk_call", place=place, Wish=trunk_call.Wish, opened_calls=trunk_call.opened_calls)
    result = invoke(
        *("call", "--config", file, "--phone", "own", "--trunk", "lab"),
        *("--number", "+493012345678", "--pin", "-", "--listen-s", 3),
        text="123456789\n",
    )
    assert (result.exit_code, result.output) == (status, "in-room\n")
    [(way, wish, listen)] = placed
    assert (way.number, way.by.host, way.by.trunk) == ("+493012345678", "192.0.2.1", "lab")
    assert (wish.pin, wish.listen_s) == ("123456789", 3.0)
    assert {at.port for at in listen} == {0}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--trunk", "nobody"], "there is no trunk nobody"),
        (["--trunk", "lab", "--number", "+4915738620594"], "only numbers of our own trunks"),
        (["--trunk", "lab", "--number", "110"], "only numbers of our own trunks"),
    ],
)
def test_a_trunk_calls_nobody_but_our_own_numbers(
    file: Path, options: list[str], told: str
) -> None:
    provider(file)
    result = invoke("call", "--config", file, "--phone", "own", *options)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())


def test_a_trunk_without_a_server_cannot_be_called_by(file: Path) -> None:
    result = invoke("call", "--config", file, "--phone", "own", "--trunk", "lab")
    assert result.exit_code == 2
    assert "outbound_proxy" in result.output


def test_call_needs_no_settings_when_it_is_told_all(
    stand_in: Callable[..., None], tmp_path: Path
) -> None:
    phone = Phone(report())
    stand_in("phone", place_call=phone.place_call)
    options = ["--to", "[::1]:5070", "--number", "100", "--caller", "+4915738620594"]
    more = ["--listen-s", "3", "--talk-hz", "440", "--record", tmp_path / "heard.wav"]

    assert invoke("call", *options, *more).exit_code == 0
    assert phone.called == ("::1", 5070, "100")
    assert phone.said["caller"] == "+4915738620594"
    assert phone.said["keys"] == ""
    assert phone.said["listen_s"] == 3.0
    assert phone.said["talk_tone_hz"] == 440.0
    assert phone.said["record"] == tmp_path / "heard.wav"


def test_a_pin_can_be_kept_off_the_list_of_processes(
    stand_in: Callable[..., None], file: Path
) -> None:
    phone = Phone(report())
    stand_in("phone", place_call=phone.place_call)
    invoke("call", "--config", file, "--pin", "-", text="123456789\n")

    assert phone.said["keys"] == "123456789#"


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (report(answered=False), "The call was not answered."),
        (report(answered=False, refused_with=503), "The call was not answered, refused with 503."),
        (report(first_sound_s=None), "Nothing was heard."),
    ],
)
def test_a_call_without_an_answer_or_a_sound_has_failed(
    stand_in: Callable[..., None], file: Path, made: CallReport, line: str
) -> None:
    stand_in("phone", place_call=Phone(made).place_call)
    result = invoke("call", "--config", file)

    assert result.exit_code == 1
    assert line in result.output.splitlines()


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1:5072"), ("::1", "[::1]:5072"), ("10.1.2.3", "10.1.2.3:5072")],
)
def test_the_service_is_called_where_it_listens(file: Path, host: str, address: str) -> None:
    file.write_text(TOML.replace('host = "0.0.0.0", port = 5071', f'host = "{host}", port = 5072'))

    assert command_line.listening_at(usual_settings.loaded_from(file).settings) == address


TCP_SERVER = '[bbb_servers.main]\nvoice_transport = "tcp"'


def test_the_phone_needs_udp(file: Path) -> None:
    over_tcp = TOML.replace('"udp"', '"tcp"').replace("[bbb_servers.main]", TCP_SERVER)
    file.write_text(over_tcp)
    with pytest.raises(OperatorError, match="does not listen for UDP"):
        command_line.listening_at(usual_settings.loaded_from(file).settings)


def test_a_service_that_answers_every_number_is_called_by_some_name(file: Path) -> None:
    file.write_text(TOML.replace('numbers = [{ e164 = "+493012345678" }]', ""))

    assert command_line.first_number(usual_settings.loaded_from(file).settings) == "dialin"


@pytest.mark.parametrize(
    "text", ["", "x", ":5060", "x:", "x:y", "x:99999", "u@x:1", "x:1/y", "x:1?y"]
)
def test_an_address_is_host_and_port(text: str) -> None:
    with pytest.raises(ValueError, match=r"not HOST:PORT|Port"):
        command_line.split_address(text)
    with pytest.raises(click.BadParameter):
        command_line.Address().convert(text, None, None)


def test_config_describes_the_settings() -> None:
    assert invoke("config", "example").output == example()
    assert invoke("config", "reference").output == reference()
    assert '"additionalProperties": false' in invoke("config", "schema").output
    assert invoke("config", "trunks").output == f"{page.trunks()}\n"


def test_config_show_shows_what_is_in_force(file: Path) -> None:
    plain = invoke("config", "show", "--config", file).output
    told = invoke("config", "show", "--origin", "--config", file).output

    assert tomllib.loads(plain)["trunks"]["lab"]["numbers"][0]["e164"] == "+493012345678"
    assert f"# file {file}" not in plain
    assert f"# file {file}" in told
    assert SECRET not in plain + told
    assert TOKEN not in plain + told


def test_config_check_tells_warnings(file: Path) -> None:
    assert invoke("config", "check", "--config", file).output == "The settings are fine.\n"
    file.chmod(0o644)
    lines = invoke("config", "check", "--config", file).output.splitlines()

    assert lines[0].startswith("warning: bbb_servers.main.secret stands in ")
    assert lines[-1] == "The settings are fine."


def test_config_check_tells_what_this_version_cannot_do(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unsupported = (
        'preset = "companyflex"\nmode = "peer"\ntransport = "udp"\nmedia_encryption = "off"'
    )
    file.write_text(TOML.replace("[trunks.lab]", f"[trunks.lab]\n{unsupported}"))

    assert outcome(monkeypatch, "config", "check", "--config", file) == 1
    assert "trunks.lab.preset: Telekom CompanyFlex" in capsys.readouterr().err


def test_the_usual_file_is_read_where_none_is_named(no_usual_file: Path) -> None:
    no_usual_file.write_text(TOML)
    no_usual_file.chmod(0o640)

    assert invoke("config", "check").output == "The settings are fine.\n"


def outcome(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of the whole program."""
    monkeypatch.setattr(sys, "argv", ["dialin", *(str(part) for part in arguments)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    return int(ended.value.code or 0)


def test_wrong_settings_are_told_a_line_each_with_exit_status_1(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"{TOML}\n[pin]\ntries = 0\npause_s = 0\n")

    assert outcome(monkeypatch, "config", "check", "--config", file) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["dialin:", "pin.tries"],
        ["dialin:", "pin.pause_s"],
    ]


def test_errors_of_several_tasks_are_told_without_a_traceback(
    stand_in: Callable[..., None],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    errors = [OperatorError("One.", "Mend it."), OperatorError("Two.", "Mend it too.")]
    group = BaseExceptionGroup("", [errors[0], BaseExceptionGroup("", [errors[1]])])
    stand_in("app", run=Service(error=group).run)

    assert outcome(monkeypatch, "run", "--config", file) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dialin: ")]
    assert told == ["dialin: One. Mend it.", "dialin: Two. Mend it too."]


def test_what_no_operator_can_mend_stays_an_error(
    stand_in: Callable[..., None], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("app", run=Service(error=RuntimeError("a fault of ours")).run)
    monkeypatch.setattr(sys, "argv", ["dialin", "run", "--config", str(file)])
    with pytest.raises(RuntimeError, match="a fault of ours"):
        command_line.main()


def test_wrong_usage_of_the_program_is_exit_status_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(monkeypatch, "nonsense") == 2


def test_the_package_runs_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dialin", "config", "check", "--config", tmp_path / "missing"],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"dialin: {tmp_path / 'missing'}: cannot be read")
    assert "Traceback" not in done.stderr
