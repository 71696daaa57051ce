# SPDX-License-Identifier: GPL-3.0-or-later
"""Which numbers a trunk may be used for, and where the way there begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dialin.errors import OperatorError
from dialin.names import Names
from dialin.outside import DialFormat, Exit, listens_beside, outside_to
from dialin.own_phone import Line
from dialin.sip import Certificate, Listen
from dialin.wire.flow import Flow

OURS = ("+493012345678", "+493012345679")
EXIT = Exit("lab", "provider.example", 5060, "UDP", Line("us", "provider.example"))


@pytest.mark.parametrize(
    "number", ["+4915738620594", "", "110", "+49301234567", "+493012345678;x=y", " +493012345678"]
)
def test_no_number_but_our_own_is_ever_called(number: str) -> None:
    with pytest.raises(OperatorError, match="only numbers of our own") as refused:
        outside_to(number, EXIT, OURS)
    assert "+493012345678, +493012345679" in refused.value.remedy


def test_where_there_are_no_numbers_there_is_nothing_to_call() -> None:
    with pytest.raises(OperatorError, match="the settings have none"):
        outside_to("+493012345678", EXIT, ())


def test_a_trunk_that_only_takes_calls_in_has_no_way_out() -> None:
    with pytest.raises(OperatorError, match="Set its outbound_proxy"):
        outside_to(OURS[0], replace(EXIT, host=""), OURS)


def test_who_has_no_user_name_calls_as_the_number_itself() -> None:
    assert outside_to(OURS[1], EXIT, OURS).by is EXIT
    nameless = replace(EXIT, line=Line("", "provider.example"))
    assert outside_to(OURS[1], nameless, OURS).by.line.caller == OURS[1]


@pytest.mark.parametrize(
    ("form", "number", "written"),
    [
        ("plus", "+493012345678", "+493012345678"),
        ("bare", "+493012345678", "493012345678"),
        ("double-zero", "+493012345678", "00493012345678"),
        ("national", "+493012345678", "03012345678"),
        ("national", "+390612345678", "0612345678"),
        ("national", "+12025550123", "2025550123"),
    ],
)
def test_a_number_is_written_as_the_provider_wants_it(form: str, number: str, written: str) -> None:
    by = replace(EXIT, dial_format=DialFormat(form), line=Line("", "provider.example"))
    outside = outside_to(number, by, [number])
    assert (outside.number, outside.dialled) == (number, written)
    assert outside.by.line.caller == written


async def test_a_name_that_does_not_exist_is_the_operators_to_mend() -> None:
    outside = outside_to(OURS[0], replace(EXIT, host="no-such-host.invalid"), OURS)
    with pytest.raises(OperatorError, match="no server for UDP"):
        await outside.found(Names())
    outside = outside_to(OURS[0], replace(EXIT, host="192.0.2.1"), OURS)
    assert await outside.found(Names()) == (Flow("UDP", "192.0.2.1", 5060),)


def test_a_phone_listens_where_the_service_does_on_other_ports() -> None:
    service = [
        Listen("UDP", "192.0.2.1", 5060),
        Listen("UDP", "192.0.2.1", 5062),
        Listen("TCP", "::", 5060),
        Listen("TLS", "::", 5061, Certificate(Path("/none"), None)),
    ]
    assert listens_beside(service, "UDP") == (Listen("UDP", "192.0.2.1", 0),)
    assert listens_beside(service, "TCP") == (Listen("TCP", "::", 0),)
    assert listens_beside(service, "TLS") == ()
    assert listens_beside(service[:1], "TCP") == (Listen("TCP", "0.0.0.0", 0),)
