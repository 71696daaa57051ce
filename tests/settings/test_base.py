# SPDX-License-Identifier: GPL-3.0-or-later
"""What all sections stand on: hosts with and without a port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.settings.base import split_host_port
from tests.settings import complaint


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sip.example.org", ("sip.example.org", None)),
        ("sip.example.org:5061", ("sip.example.org", 5061)),
        ("192.0.2.7:65535", ("192.0.2.7", 65535)),
        ("[2001:db8::7]", ("2001:db8::7", None)),
        ("[2001:DB8::7]:1", ("2001:db8::7", 1)),
    ],
)
def test_a_server_is_a_host_with_or_without_a_port(
    text: str, parts: tuple[str, int | None]
) -> None:
    assert split_host_port(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":5060",
        "sip.example.org:",
        "sip.example.org:0",
        "sip.example.org:65536",
        "sip.example.org:5060:5061",
        "2001:db8::7",
        "[sip.example.org]",
        "[::1%eth0]",
        "sip:sip.example.org",
        "sip.example.org;transport=tls",
        "two words",
        "sip.example.org\n",
        "٣.example.org",
    ],
)
def test_anything_else_is_no_server(text: str) -> None:
    with pytest.raises(ValueError, match=r"host|port|IPv6"):
        split_host_port(text)
    said = complaint({"trunks.lab.registrar": text})
    assert said == "trunks.lab.registrar: this is neither a host nor host:port."


@given(st.text())
def test_splitting_is_total_but_for_one_error(text: str) -> None:
    try:
        host, port = split_host_port(text)
    except ValueError:
        return
    assert host
    assert port is None or 0 < port < 65536
