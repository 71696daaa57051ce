# SPDX-License-Identifier: GPL-3.0-or-later
"""Our Contacts among those that a registrar lists."""

from __future__ import annotations

import pytest

from dialin.wire.agent_events import LocalAddress
from dialin.wire.bindings import MAX_DROPPED, MAX_ROUTES, Bindings, service_routes
from dialin.wire.message import Response
from tests.wire.peers import Lines
from tests.wire.registrar_text import HERE, response
from tests.wire.test_login import REQUEST

OURS = "<sip:dialin-1@198.51.100.1:5060>"
FORMER = "<sip:dialin-1@198.51.100.7:5060>"
OTHER = "<sip:phone@203.0.113.9:5062;line=1>"


def registered() -> Bindings:
    """Bindings that have asked."""
    bindings = Bindings("dialin-1")
    assert bindings.contacts(HERE, 300) == (f"{OURS};expires=300",)
    return bindings


def ok(*contacts: str, lines: Lines = ()) -> Response:
    """A 200 that lists Contacts."""
    return response(REQUEST, 200, [*(("Contact", contact) for contact in contacts), *lines])


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (ok(f"{OURS};expires=120"), 120),
        (ok(f"{OTHER};expires=3600, {OURS};expires=120"), 120),
        (ok(f"{OTHER};expires=3600", f"{OURS};q=0.5;expires=120"), 120),
        (ok(OURS, lines=[("Expires", "90")]), 90),
        (ok(f"{OURS};expires=soon", lines=[("Expires", "90")]), 90),
        (ok(OURS), 300),
        (ok(), 300),
        (ok(lines=[("Expires", "60")]), 60),
        (ok("<sip:dialin-1@203.0.113.1:40001>;expires=70"), 70),  # a router was on the way
        (ok(f"{OTHER};expires=50"), 50),  # something rewrote the whole Contact
        (ok(f"{OTHER};expires=50, <tel:+4930123456>;expires=40"), 40),
        (ok(f"{OURS};expires=0"), 0),
        (ok("<sip:dialin-1@198.51.100.1:99999>;expires=20"), 20),  # a URI that cannot be
    ],
)
def test_the_time_that_is_granted_is_that_of_our_contact(answer: Response, seconds: int) -> None:
    assert registered().granted_s(answer, 300) == seconds


def test_contacts_of_others_are_counted_and_left_alone() -> None:
    bindings = registered()
    bindings.granted_s(ok(f"{OTHER};expires=9, {OURS};expires=120"), 300)
    assert bindings.strangers == 1
    assert not bindings.drop(also_others=False)
    assert bindings.contacts(HERE, 300) == (f"{OURS};expires=300",)


def test_contacts_of_others_can_be_removed() -> None:
    bindings = registered()
    bindings.granted_s(ok(f"{OTHER};expires=9, {OURS};expires=120"), 300)
    assert bindings.drop(also_others=True)
    assert bindings.contacts(HERE, 300) == (f"{OURS};expires=300", f"{OTHER};expires=0")
    assert bindings.contacts(HERE, 300) == (f"{OURS};expires=300",)


def test_a_contact_of_ours_at_a_former_address_is_removed() -> None:
    bindings = registered()
    bindings.granted_s(ok(f"{FORMER};expires=9, {OURS};expires=120"), 300)
    assert bindings.strangers == 0
    assert bindings.drop(also_others=False)
    assert bindings.contacts(HERE, 300)[1:] == (f"{FORMER};expires=0",)


def test_nothing_is_removed_when_ours_cannot_be_told_from_others() -> None:
    bindings = registered()
    bindings.granted_s(ok(f"{OTHER};expires=50"), 300)
    assert not bindings.drop(also_others=True)


def test_one_request_removes_so_many_and_no_more() -> None:
    bindings = registered()
    others = [f"<sip:p{number}@203.0.113.9>" for number in range(40)]
    bindings.granted_s(ok(OURS, *others), 300)
    bindings.drop(also_others=True)
    assert len(bindings.contacts(HERE, 300)) == 1 + MAX_DROPPED


def test_a_contact_says_how_we_are_reached() -> None:
    bindings = Bindings("dialin-1")
    local = LocalAddress("TCP", "2001:db8::1", 5070)
    assert bindings.contacts(local, 60) == (
        "<sip:dialin-1@[2001:db8::1]:5070;transport=tcp>;expires=60",
    )


def test_a_contact_may_name_the_bridge_and_its_way() -> None:
    bindings = Bindings("dialin-1", "urn:uuid:1-2")
    instance = ';+sip.instance="<urn:uuid:1-2>";reg-id=1'
    assert bindings.contacts(HERE, 300) == (f"{OURS}{instance};expires=300",)
    assert bindings.granted_s(ok(f"{OURS}{instance};expires=70"), 300) == 70


ROUTE = "<sip:proxy.example;lr>"


@pytest.mark.parametrize(
    ("lines", "routes"),
    [
        ([], ()),
        ([ROUTE], (ROUTE,)),
        (
            [f"{ROUTE}, <sip:192.0.2.9:5070;transport=tcp;lr>;x=1"],
            (ROUTE, "<sip:192.0.2.9:5070;transport=tcp;lr>;x=1"),
        ),
        ([ROUTE, "<sip:strict.example>"], ()),
        ([ROUTE, "<tel:+4930>"], ()),
        (["<sip:a b>"], ()),
        (["<sip:a:99999;lr>"], ()),
        ([ROUTE] * (MAX_ROUTES + 1), ()),
    ],
)
def test_a_registrar_may_say_by_which_proxies_calls_shall_come(
    lines: list[str], routes: tuple[str, ...]
) -> None:
    assert service_routes(ok(lines=[("Service-Route", line) for line in lines])) == routes
