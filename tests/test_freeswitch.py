# SPDX-License-Identifier: GPL-3.0-or-later
"""The dialplan file that operators copy to a BBB server, read as FreeSWITCH reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from lxml import etree

from dialin.demo.bound_keys import MUTE_KEYS, UNMUTE_KEYS

FOLDER = Path(__file__).parent.parent / "config" / "freeswitch"
FILE = FOLDER / "00_dialin.xml"
README = (FOLDER / "README.md").read_text()
BRIDGE = "198.51.100.10"

Action = tuple[str, str]


def actions(call: Mapping[str, str]) -> list[Action]:
    """What FreeSWITCH runs for a call: conditions of an extension one after the other, each of
    which must hold; the actions of the last, with the groups of its expression filled in."""
    for extension in etree.parse(FILE).getroot().findall("extension"):
        found = matched(extension, call)
        if found is not None:
            return found
    return []


def matched(extension: etree._Element, call: Mapping[str, str]) -> list[Action] | None:
    found: list[Action] = []
    for condition in extension.findall("condition"):
        field = condition.get("field", "").removeprefix("${").removesuffix("}")
        match = re.search(condition.get("expression", ""), call.get(field, ""))
        if match is None:
            return None
        for action in condition.findall("action"):
            data = action.get("data", "")
            for group, text in enumerate(match.groups(), 1):
                data = data.replace(f"${group}", text)
            found.append((action.get("application", ""), data))
    return found


def call(number: str, address: str = BRIDGE, **variables: str) -> list[Action]:
    return actions({"destination_number": number, "network_addr": address, **variables})


class TestCallsOfTheBridge:
    @pytest.mark.parametrize("number", ["12345", "01234", "123456789", "12345678901"])
    def test_enter_the_conference_they_call(self, number: str) -> None:
        ran = call(number)
        assert ran[-1] == ("transfer", f"{number} XML default")
        assert ("set", "bbb_authorized=true") in ran[:-1]

    def test_have_no_keys_that_act(self) -> None:
        assert ("set", "conference_controls=none") in call("123456789")

    @pytest.mark.parametrize(
        "number",
        [
            "",
            "1234",
            "123456789012",
            "+49301234567",
            "SEND_TO_CONFERENCE",
            "echo12345",
            "12345x",
            "x12345",
            "12345 XML default",
        ],
    )
    def test_reach_nothing_but_conferences(self, number: str) -> None:
        assert call(number) == []


class TestOtherCalls:
    @pytest.mark.parametrize(
        "address",
        ["198.51.100.11", "198.51.100.101", "1198.51.100.10", "198051010010", "", "127.0.0.1"],
    )
    def test_are_not_admitted(self, address: str) -> None:
        assert call("123456789", address) == []

    @pytest.mark.parametrize("number", ["dialin_mute", "dialin_unmute"])
    @pytest.mark.parametrize("address", [BRIDGE, "203.0.113.9"])
    def test_cannot_dial_the_mute_extension(self, number: str, address: str) -> None:
        assert call(number, address) == []


class TestMuteSequences:
    def test_are_bound_before_the_transfer(self) -> None:
        ran = call("123456789")
        bound = [data for application, data in ran if application == "bind_digit_action"]
        assert bound == [
            "dialin,*61,exec[i]:execute_extension,dialin_mute XML public",
            "dialin,*60,exec[i]:execute_extension,dialin_unmute XML public",
        ]
        order = [application for application, _ in ran]
        assert order[-2:] == ["digit_action_set_realm", "transfer"]
        assert ("set", "dialin_room=123456789") in ran

    def test_are_those_that_the_stand_in_knows(self) -> None:
        bound = [data.split(",")[1] for application, data in call("12345") if "bind" in application]
        assert bound == [MUTE_KEYS, UNMUTE_KEYS]

    @pytest.mark.parametrize("word", ["mute", "unmute"])
    def test_act_on_the_calls_own_member(self, word: str) -> None:
        ran = call(f"dialin_{word}", dialin_room="123456789")
        expected = f"${{conference(${{dialin_room}} {word} ${{conference_member_id}} quiet)}}"
        assert ran == [("set", f"dialin_result={expected}")]


class TestFile:
    def test_explains_every_line_that_does_something(self) -> None:
        previous: etree._Element | None = None
        for element in etree.parse(FILE).getroot().iterdescendants():
            if element.tag in ("condition", "action", "extension"):
                assert isinstance(previous, etree._Comment), etree.tostring(element)
            previous = element

    def test_comes_before_files_that_take_any_call(self) -> None:
        assert FILE.name < min("00_inbound_did.xml", "bbb_sfu.xml", "dialin.xml")

    def test_ships_with_an_address_that_nobody_has(self) -> None:
        networks = re.findall(r"\d+\\\.\d+\\\.\d+\\\.\d+", FILE.read_text())
        assert networks
        assert all(network.startswith(r"198\.51\.100\.") for network in networks)


class TestReadme:
    def test_names_the_file_and_where_it_goes(self) -> None:
        assert f"{FILE.name} /opt/freeswitch/etc/freeswitch/dialplan/public/" in README
        assert "reloadxml" in README

    @pytest.mark.parametrize("protocol", ["tcp", "udp"])
    def test_closes_both_protocols(self, protocol: str) -> None:
        assert f"allow proto {protocol} from {BRIDGE} to any port 5060" in README
        assert f"iptables -I INPUT -p {protocol} --dport 5060 -j DROP" in README
        assert f"iptables -I INPUT -p {protocol} -s {BRIDGE} --dport 5060 -j ACCEPT" in README

    def test_drops_before_it_accepts_as_each_rule_goes_to_the_top(self) -> None:
        assert README.index("-j DROP") < README.index("-j ACCEPT")
        assert README.index("insert 1 deny") < README.index("insert 1 allow")
