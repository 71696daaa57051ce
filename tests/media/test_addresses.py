# SPDX-License-Identifier: GPL-3.0-or-later
"""What SDP may name as the place where media goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.media.addresses import networks, permitted
from dialin.media.engine import RemoteNotAllowed

EVERYWHERE = networks(["0.0.0.0/0", "::/0"])
TRUNK = networks(["192.0.2.0/24", "2001:db8::/32"])


def refused(host: str, port: int = 4000, *, local_host: str = "198.51.100.1") -> bool:
    try:
        permitted(host, port, local_host=local_host, allowed=EVERYWHERE)
    except RemoteNotAllowed:
        return True
    return False


@pytest.mark.parametrize("local_host", ["198.51.100.1", "2001:db8::1"])
@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.9.9.9",
        "224.0.0.1",
        "239.1.2.3",
        "169.254.1.1",
        "255.255.255.255",
        "::",
        "::1",
        "ff02::1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:192.0.2.1",
        "::ffff:127.0.0.1",
        "sip.example.com",
        "192.0.2.1 ",
        "192.0.2",
        "0192.0.2.1",
        "",
    ],
)
def test_no_media_goes_to_nobody_or_to_many_or_to_names(host: str, local_host: str) -> None:
    assert refused(host, local_host=local_host)


def test_a_leg_on_loopback_may_talk_on_loopback() -> None:
    assert not refused("127.0.0.1", local_host="127.0.0.2")
    assert not refused("::1", local_host="::1")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    assert refused("192.0.2.1", port)
    assert not refused("192.0.2.1", 65535)


def test_only_the_allowed_networks_get_media() -> None:
    assert permitted("192.0.2.9", 4000, local_host="198.51.100.1", allowed=TRUNK) == "192.0.2.9"
    for stranger, ours in (("198.51.100.9", "198.51.100.1"), ("2001:db9::1", "2001:db8::2")):
        with pytest.raises(RemoteNotAllowed, match="outside"):
            permitted(stranger, 4000, local_host=ours, allowed=TRUNK)


def test_an_address_of_another_family_is_refused() -> None:
    assert refused("2001:db8::1", local_host="192.0.2.1")
    assert refused("192.0.2.1", local_host="2001:db8::1")


def test_nothing_is_allowed_where_no_network_is() -> None:
    with pytest.raises(RemoteNotAllowed):
        permitted("192.0.2.9", 4000, local_host="198.51.100.1", allowed=())


def test_an_address_is_given_as_the_kernel_spells_it() -> None:
    spelt = permitted("2001:0DB8:0::0001", 4000, local_host="2001:db8::2", allowed=TRUNK)
    assert spelt == "2001:db8::1"


@given(st.text(max_size=60), st.integers(-70_000, 70_000))
def test_whatever_sdp_says_is_taken_or_refused(host: str, port: int) -> None:
    refused(host, port)
