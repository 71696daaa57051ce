# SPDX-License-Identifier: GPL-3.0-or-later
"""From the `bbb_dialin_*` variables of the Ansible role for BigBlueButton to a settings file.

The role (ebbba-org/ansible-role-bigbluebutton) puts a telephone gateway into a server's own
FreeSWITCH. Its variables are read from YAML files of both its generations, and what they say is
written as TOML, with a note for each thing that has to be looked at. No secret is read or written:
the notes name the files that secrets belong into. Nothing is checked that `dialin config check`
checks better.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import phonenumbers
import yaml

from dialin import presets
from dialin.errors import OperatorError
from dialin.settings.base import split_host_port
from dialin.settings.pages import toml

PREFIX = "bbb_dialin_"
RELATED = ("bbb_hostname",)
SECRETS = ("provider_password",)
IGNORED = {
    "default_play_and_get_digits": "prompts are dialin's own; see [pin] for how PINs are keyed.",
    "overwrite_footer": "the welcome text stays with BBB: see docs/bbb-server.md.",
    "footer": "the welcome text stays with BBB: see docs/bbb-server.md.",
    "pin_minlen": "dialin takes PINs of 5 to 11 digits, as breakout rooms need them.",
    "pin_maxlen": "dialin takes PINs of 5 to 11 digits, as breakout rooms need them.",
    "pin_timeout": "dialin waits think_s for the first digit and pause_s for each other.",
}
"""What has no setting here, and why."""
MAX_FILE_BYTES = 1024 * 1024
MAX_TRIES = 5
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 20.0
ALWAYS_SHOWN_DIGITS = 4
"""How many digits a label shows; not to be changed."""
GUESSED_PIN_DIGITS = 5
"""PINs so short can be guessed."""


class Opaque:
    """A value that only Ansible can tell: encrypted by its vault, or of a type of its own."""


class _Loader(yaml.SafeLoader):
    """YAML without objects; what Ansible adds to it is opaque."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: Opaque())


@dataclass(slots=True)
class Draft:
    """A settings file that grows."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Keys and values by the table's name, in the order of the file."""
    numbers: list[str] = field(default_factory=list)
    """E.164."""
    notes: list[str] = field(default_factory=list)
    """What the operator has to look at."""

    def set(self, table: str, key: str, value: Any) -> None:
        """Write a setting."""
        self.tables.setdefault(table, {})[key] = value

    def note(self, text: str) -> None:
        """Something to look at."""
        self.notes.append(text)


def import_files(files: Sequence[Path], region: str = "DE") -> str:
    """The settings file that variables amount to; later files win. Raises OperatorError."""
    variables: dict[str, Any] = {}
    for file in files:
        variables |= read_variables(file)
    return translate(variables, region)


def read_variables(file: Path) -> dict[str, Any]:
    """The role's dial-in variables out of one YAML file. Raises OperatorError."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise OperatorError(f"{file} is too large for a file of variables.", "Name another.")
        document = yaml.load(file.read_bytes(), Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.", "Name another.") from None
    except (yaml.YAMLError, RecursionError):  # its text would quote the file
        raise OperatorError(
            f"{file} is not YAML.", "Name files of variables, such as group_vars/bbb.yml."
        ) from None
    if not isinstance(document, Mapping):
        raise OperatorError(
            f"{file} holds no variables.", "Name files of variables, such as group_vars/bbb.yml."
        )
    return {
        name: value
        for name, value in document.items()
        if isinstance(name, str) and (name.startswith(PREFIX) or name in RELATED)
    }


def translate(variables: Mapping[str, Any], region: str = "DE") -> str:
    """The settings file that variables amount to, as TOML. Raises OperatorError."""
    given = {
        name.removeprefix(PREFIX): value
        for name, value in variables.items()
        if name.startswith(PREFIX)
    }
    if not given:
        raise OperatorError(
            f"There is no variable whose name begins with {PREFIX}.",
            "Name the files that set them, such as group_vars/bbb.yml and host_vars/HOST.yml.",
        )
    draft = Draft()
    known = {name: value for name, value in given.items() if _is_known(name, value, draft)}
    if not all(known.get(switch, True) for switch in ("enable", "enabled")):
        draft.note("Dial-in is switched off in these variables.")
    _server(variables.get("bbb_hostname"), draft)
    _trunk(known, region, draft)
    _pin(known, draft)
    _label(known, draft)
    for name in given:
        if name in IGNORED:
            draft.note(f"{PREFIX}{name}: {IGNORED[name]}")
    return "".join(_lines(draft))


def _is_known(name: str, value: Any, draft: Draft) -> bool:
    """Whether a value can be read here; what cannot is noted."""
    if name in SECRETS:
        return False  # where it belongs is told with the trunk
    if isinstance(value, Opaque) or (isinstance(value, str) and "{{" in value):
        draft.note(f"{PREFIX}{name} is made by Ansible: write its value yourself.")
        return False
    return value is not None


def _server(hostname: Any, draft: Draft) -> None:
    host = hostname if isinstance(hostname, str) and "{{" not in hostname else "bbb.example.org"
    if host != hostname:
        draft.note("bbb_hostname is not told: correct the url of the server.")
    draft.set("bbb_servers.main", "url", f"https://{host}/bigbluebutton/")
    draft.note(
        "The server's secret (`sudo bbb-conf --secret`) belongs into the secret file "
        "bbb_servers__main__secret."
    )
    draft.note("Each server needs the dialplan file of docs/bbb-server.md.")


def _trunk(known: Mapping[str, Any], region: str, draft: Draft) -> None:
    provider = str(known.get("provider") or known.get("provider_proxy") or "")
    preset = preset_of(provider)
    name = re.sub(r"[^a-z0-9]", "", preset) or "provider"
    table = f"trunks.{name}"
    if preset:
        draft.set(table, "preset", preset)
    elif provider:
        draft.set(table, "mode", "register")
        draft.set(table, "registrar", provider)
        draft.note(
            f"{provider} has no preset: compare docs/trunks.md, and use transport = "
            '"tls" with media_encryption = "require" if the provider can.'
        )
    else:
        draft.note("No provider is told: choose a preset of docs/trunks.md, or a registrar.")
    if network := _network(known.get("provider_ip"), draft):
        draft.set(table, "allowed_sources", [network])
    if "provider_username" in known:
        draft.set(table, "username", str(known["provider_username"]))
    draft.set(table, "region", region)
    draft.note(f"The account's password belongs into the secret file trunks__{name}__password.")
    for variable in ("provider_extension", "default_number"):
        if variable in known:
            _number(variable, str(known[variable]), region, draft)


def preset_of(provider: str) -> str:
    """The preset whose servers belong to the same domain; empty if there is none."""
    domain = _domain(provider)
    for name in presets.names():
        registrar = presets.load(name).trunk.get("registrar")
        if registrar and domain and _domain(registrar) == domain:
            return name
    return ""


def _domain(server: str) -> str:
    """The last two labels of a host name: what a company registers, in most countries."""
    try:
        host, _ = split_host_port(server)
    except ValueError:
        return ""
    labels = host.lower().rstrip(".").split(".")
    return "" if labels[-1].isdigit() else ".".join(labels[-2:])


def _network(value: Any, draft: Draft) -> str:
    try:
        return str(ipaddress.ip_network(str(value), strict=False)) if value else ""
    except ValueError:
        draft.note(f"{PREFIX}provider_ip is no address: write allowed_sources yourself.")
        return ""


def _number(variable: str, text: str, region: str, draft: Draft) -> None:
    country_code = str(phonenumbers.country_code_for_region(region))
    try:
        # Providers' accounts are often written with the country code and nothing before it.
        number = phonenumbers.parse(f"+{text}" if text.startswith(country_code) else text, region)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        draft.note(f"{PREFIX}{variable} is no telephone number: add yours to the trunk's numbers.")
        return
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if e164 not in draft.numbers:
        draft.numbers.append(e164)


def _pin(known: Mapping[str, Any], draft: Draft) -> None:
    tries = _whole(known.get("pin_retries"))
    if tries is not None:
        draft.set("pin", "tries", max(1, min(MAX_TRIES, tries)))
    pause_ms = _whole(known.get("pin_maxwait"))
    if pause_ms is not None:
        pause_s = max(SHORTEST_PAUSE_S, min(LONGEST_PAUSE_S, pause_ms / 1000))
        draft.set("pin", "pause_s", pause_s)
    if (_whole(known.get("pin_maxlen")) or GUESSED_PIN_DIGITS) <= GUESSED_PIN_DIGITS:
        draft.note(
            "PINs of five digits can be guessed: let BBB make longer ones "
            "(defaultNumDigitsForTelVoice)."
        )


def _label(known: Mapping[str, Any], draft: Draft) -> None:
    if known.get("mask_caller") is False:
        draft.note("Callers were shown with their numbers; dialin always masks them.")
    if "mask_prefix" in known:
        draft.set("label", "template", f"{known['mask_prefix']}{{digits}}")
    if _whole(known.get("mask_digits")) not in (None, ALWAYS_SHOWN_DIGITS):
        draft.note(f"{PREFIX}mask_digits: dialin shows the last {ALWAYS_SHOWN_DIGITS} or none.")


def _whole(value: Any) -> int | None:
    """A whole number, written as one or as digits."""
    text = str(value)
    return int(text) if not isinstance(value, bool) and text.isascii() and text.isdigit() else None


def _lines(draft: Draft) -> Iterator[str]:
    yield "# Made from the variables of an Ansible role by `dialin config import-ansible`.\n"
    yield "# `dialin config check` tells what is missing. Look at these:\n#\n"
    for note in draft.notes:
        yield f"# * {_plain(note)}\n"
    for table, settings in draft.tables.items():
        yield f"\n[{table}]\n"
        for key, value in settings.items():
            yield f"{key} = {_toml(value)}\n"
        if table.startswith("trunks."):
            yield from _numbers(table, draft.numbers)


def _numbers(table: str, numbers: Iterable[str]) -> Iterator[str]:
    for number in numbers:
        yield f"\n[[{table}.numbers]]\ne164 = {_toml(number)}\n"


def _toml(value: Any) -> str:
    """A value in TOML, whatever the variables held."""
    return toml(value).encode(errors="replace").decode()


def _plain(text: str) -> str:
    """A line of a comment, whatever the variables held."""
    return "".join(each if each.isprintable() else "?" for each in text)
