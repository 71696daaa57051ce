# SPDX-License-Identifier: GPL-3.0-or-later
"""RFC 3261 §12: how dialogs begin at either end, how their requests are addressed and judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.errors import PeerError
from dialin.wire.dialog import Dialog, DialogId
from dialin.wire.header import Params, Via
from dialin.wire.message import Request, parse

from .sip_samples import CALL_ID, request, response

VIA = Via("UDP", "198.51.100.7", 5060, Params((("rport", None), ("branch", "z9hG4bKours"))))
CONTACT = "Contact: <sip:caller@192.0.2.10:5070>"
IN_DIALOG = "<sip:bridge@198.51.100.7>;tag=ours"

LOOSE = ("<sip:p1.example;lr>", "<sip:p2.example;lr>")
STRICT = ("<sip:p1.example;method=INVITE;x=y>", "<sip:p2.example;lr>")


def called(invite: Request | None = None) -> Dialog:
    """The dialog of a call that came in."""
    return Dialog.as_uas(invite or request(extra=(CONTACT,)), "ours")


def calling(
    status: int = 200,
    *,
    contact: str | None = "<sip:room@198.51.100.8:5090>",
    routes: tuple[str, ...] = (),
    to_tag: str | None = "to1",
    uri: str = "sip:bridge@198.51.100.7",
) -> Dialog:
    """The dialog of a call that we placed."""
    invite = request(uri=uri)
    headers = tuple(("Record-Route", value) for value in routes)
    if contact is not None:
        headers += (("Contact", contact),)
    return Dialog.as_uac(invite, response(invite, status, to_tag=to_tag, extra=headers))


def lines(message: Request) -> list[str]:
    """The message as it goes out; it has to be one that a parser takes."""
    parse(bytes(message))
    return bytes(message).decode().splitlines()


class TestCalledSide:
    """§12.1.1"""

    def test_the_dialog_takes_its_names_from_the_invite_and_our_tag(self) -> None:
        dialog = called()
        assert dialog.id == DialogId(CALL_ID, "ours", "from1")
        assert dialog.local == IN_DIALOG
        assert dialog.remote == "<sip:caller@192.0.2.1>;tag=from1"
        assert dialog.remote_target == "sip:caller@192.0.2.10:5070"
        assert (dialog.local_cseq, dialog.remote_cseq) == (None, 1)

    def test_later_requests_of_the_caller_have_its_id(self) -> None:
        assert DialogId.of_request(request("BYE", to=IN_DIALOG)) == called().id

    def test_routes_are_kept_in_the_order_of_the_request(self) -> None:
        invite = request(
            extra=(CONTACT, f"Record-Route: {LOOSE[0]}", f"Record-Route: {LOOSE[1]}, <sip:p3;lr>")
        )
        assert called(invite).route_set == (*LOOSE, "<sip:p3;lr>")

    def test_our_first_request_goes_to_the_contact_and_not_to_from(self) -> None:
        bye = called().request("BYE", via=VIA, headers=(("User-Agent", "dialin"),))
        assert lines(bye) == [
            "BYE sip:caller@192.0.2.10:5070 SIP/2.0",
            "Via: SIP/2.0/UDP 198.51.100.7:5060;rport;branch=z9hG4bKours",
            "Max-Forwards: 70",
            f"From: {IN_DIALOG}",
            "To: <sip:caller@192.0.2.1>;tag=from1",
            f"Call-ID: {CALL_ID}",
            "CSeq: 1 BYE",
            "User-Agent: dialin",
            "Content-Length: 0",
            "",
        ]

    def test_what_the_caller_wrote_is_echoed_verbatim(self) -> None:
        written = '"A, \\"B\\"" <sip:a;b@192.0.2.1;x=%41>;TAG="q q";verstat=TN-Validation-Passed'
        bye = called(request(from_=written, extra=(CONTACT,))).request("BYE", via=VIA)
        assert f"To: {written}" in lines(bye)

    def test_without_contact_from_is_all_there_is_to_go_by(self) -> None:
        assert called(request()).remote_target == "sip:caller@192.0.2.1"

    @pytest.mark.parametrize(
        "header",
        [
            "Contact: <sip:caller@[nonsense>",
            "Contact: <sip:caller@192.0.2.10:99999>",
            "Record-Route: <sip:p1.example;lr>, nonsense",
            "Record-Route: <sip:@@>",
        ],
    )
    def test_an_invite_that_cannot_be_answered_in_dialog_is_refused(self, header: str) -> None:
        with pytest.raises(PeerError):
            called(request(extra=(header,)))

    def test_so_is_one_with_neither_contact_nor_from_to_go_by(self) -> None:
        with pytest.raises(PeerError):
            called(request(from_="<sip:@@>;tag=from1"))


class TestCallingSide:
    """§12.1.2"""

    def test_the_dialog_takes_its_names_from_the_response(self) -> None:
        dialog = calling()
        assert dialog.id == DialogId(CALL_ID, "from1", "to1")
        assert dialog.local == "<sip:caller@192.0.2.1>;tag=from1"
        assert dialog.remote == "<sip:bridge@198.51.100.7>;tag=to1"
        assert dialog.remote_target == "sip:room@198.51.100.8:5090"
        assert (dialog.local_cseq, dialog.remote_cseq) == (1, None)

    def test_routes_are_reversed(self) -> None:
        assert calling(routes=LOOSE).route_set == LOOSE[::-1]

    def test_each_branch_of_a_fork_is_a_dialog_of_its_own(self) -> None:
        assert calling(to_tag="one").id != calling(to_tag="two").id

    def test_the_200_has_the_last_word_on_routes_and_target(self) -> None:
        dialog = calling(183, routes=LOOSE)
        answered = response(request(), 200, extra=(("Contact", "<sip:other@198.51.100.9>"),))
        dialog.confirm(answered)
        assert (dialog.route_set, dialog.remote_target) == ((), "sip:other@198.51.100.9")

    def test_without_contact_the_request_uri_goes_on(self) -> None:
        assert calling(contact=None).remote_target == "sip:bridge@198.51.100.7"

    def test_what_cannot_be_read_in_a_response_counts_as_absent(self) -> None:
        assert calling(contact="<sip:room@[nonsense>").remote_target == "sip:bridge@198.51.100.7"
        dialog = calling(routes=("nonsense",))
        assert dialog.route_set == ()
        dialog.confirm(response(request(), 200, extra=(("Record-Route", "nonsense"),)))
        assert dialog.request("BYE", via=VIA).uri == "sip:room@198.51.100.8:5090"

    @pytest.mark.parametrize(
        ("uri", "is_secure"), [("SIPS:bridge@x.example", True), ("sip:x", False)]
    )
    def test_a_sips_uri_makes_the_dialog_secure(self, uri: str, is_secure: bool) -> None:
        assert calling(uri=uri).is_secure is is_secure
        assert called(request(uri=uri)).is_secure is is_secure


class TestRfc2543Peers:
    def test_a_caller_without_a_tag_has_an_empty_one(self) -> None:
        dialog = called(request(from_="<sip:caller@192.0.2.1>"))
        assert dialog.id == DialogId(CALL_ID, "ours", "")
        assert dialog.id == DialogId.of_request(
            request("BYE", from_="<sip:caller@192.0.2.1>", to=IN_DIALOG)
        )
        assert "To: <sip:caller@192.0.2.1>" in lines(dialog.request("BYE", via=VIA))

    def test_a_called_side_without_a_tag_has_an_empty_one(self) -> None:
        dialog = calling(to_tag=None)
        assert dialog.id == DialogId(CALL_ID, "from1", "")
        assert "To: <sip:bridge@198.51.100.7>" in lines(dialog.request("BYE", via=VIA))

    def test_a_message_without_tags_belongs_to_no_dialog_of_ours(self) -> None:
        untagged = request(from_="<sip:caller@192.0.2.1>")
        assert DialogId.of_request(untagged) == DialogId(CALL_ID, "", "")
        assert DialogId.of_response(response(untagged, 200, to_tag=None)) == DialogId(
            CALL_ID, "", ""
        )


class TestRouting:
    """§12.2.1.1"""

    def test_without_routes_the_target_is_the_next_hop(self) -> None:
        dialog = calling()
        bye = dialog.request("BYE", via=VIA)
        assert bye.uri == dialog.next_hop() == "sip:room@198.51.100.8:5090"
        assert "Route" not in bye.headers

    def test_a_loose_router_gets_the_target_and_all_routes(self) -> None:
        dialog = calling(routes=LOOSE[::-1])
        bye = dialog.request("BYE", via=VIA)
        assert bye.uri == "sip:room@198.51.100.8:5090"
        assert bye.headers.all("Route") == LOOSE
        assert dialog.next_hop() == "sip:p1.example;lr"

    def test_a_strict_router_is_the_request_uri_and_the_target_the_last_route(self) -> None:
        dialog = calling(routes=STRICT[::-1])
        bye = dialog.request("BYE", via=VIA)
        assert bye.uri == "sip:p1.example;x=y"
        assert bye.headers.all("Route") == (STRICT[1], "<sip:room@198.51.100.8:5090>")
        assert dialog.next_hop() == "sip:p1.example;method=INVITE;x=y"

    def test_a_router_that_is_no_sip_uri_is_strict(self) -> None:
        dialog = calling(routes=("<urn:x:y;lr>",))
        assert dialog.request("BYE", via=VIA).uri == "urn:x:y;lr"

    @pytest.mark.parametrize(
        ("contact", "uri"),
        [
            ("<sip:a@x.example;method=INVITE;ob?Subject=y>", "sip:a@x.example;ob"),
            ("<sip:a@x.example?Subject=y>", "sip:a@x.example"),
            ("<SIP:%41@X.example;Transport=UDP;+u=%22>", "SIP:%41@X.example;Transport=UDP;+u=%22"),
            ("<tel:+4930123456;method=x>", "tel:+4930123456;method=x"),
        ],
    )
    def test_a_request_uri_is_the_contact_verbatim_less_what_may_not_stand_in_it(
        self, contact: str, uri: str
    ) -> None:
        assert calling(contact=contact).request("BYE", via=VIA).uri == uri

    def test_the_ack_takes_the_same_way_with_the_number_of_its_invite(self) -> None:
        dialog = calling(routes=LOOSE[::-1])
        dialog.request("UPDATE", via=VIA)
        ack = dialog.ack(
            1, via=VIA, headers=(("Content-Type", "application/sdp"),), body=b"v=0\r\n"
        )
        assert ack.cseq.number == 1
        assert ack.method == ack.cseq.method == "ACK"
        assert (ack.uri, ack.headers.all("Route")) == ("sip:room@198.51.100.8:5090", LOOSE)
        assert ack.body == b"v=0\r\n"
        assert dialog.local_cseq == 2


class TestNumbers:
    """§12.2.1.1 and §12.2.2"""

    def test_ours_grow_by_one(self) -> None:
        dialog = called()
        assert [dialog.request("INFO", via=VIA).cseq.number for _ in range(3)] == [1, 2, 3]
        assert calling().request("BYE", via=VIA).cseq.number == 2

    def test_theirs_may_begin_anywhere_and_have_to_grow(self) -> None:
        dialog = calling()
        for number, status in ((7, None), (6, 500), (7, 500), (8, None), (500, None), (8, 500)):
            assert dialog.accept_request(request("INFO", cseq=number)) == status

    def test_the_invite_counts_as_their_first(self) -> None:
        assert called().accept_request(request("BYE", to=IN_DIALOG, cseq=1)) == 500
        assert called().accept_request(request("BYE", to=IN_DIALOG, cseq=2)) is None

    def test_a_refused_number_changes_nothing(self) -> None:
        dialog = called()
        dialog.accept_request(request("BYE", cseq=0))
        assert dialog.remote_cseq == 1

    @pytest.mark.parametrize("method", ["ACK", "CANCEL"])
    def test_ack_and_cancel_bear_the_number_of_their_invite(self, method: str) -> None:
        dialog = called()
        assert dialog.accept_request(request(method, cseq=1)) is None
        assert dialog.remote_cseq == 1


class TestTargetRefresh:
    """§12.2.1.2 and §12.2.2"""

    def test_a_new_contact_is_the_new_target(self) -> None:
        dialog = called()
        dialog.refresh_target(request("UPDATE", extra=("Contact: <sip:moved@192.0.2.20>",)))
        assert dialog.request("BYE", via=VIA).uri == "sip:moved@192.0.2.20"

    @pytest.mark.parametrize("extra", [(), ("Contact: <sip:moved@[nonsense>",)])
    def test_without_one_that_can_be_read_the_old_one_stays(self, extra: tuple[str, ...]) -> None:
        dialog = called()
        dialog.refresh_target(request("UPDATE", extra=extra))
        assert dialog.remote_target == "sip:caller@192.0.2.10:5070"

    def test_it_leaves_the_routes_alone(self) -> None:
        dialog = calling(routes=LOOSE[::-1])
        dialog.refresh_target(request(extra=(CONTACT, "Record-Route: <sip:evil.example;lr>")))
        assert dialog.route_set == LOOSE


TAGS = st.text("abcdefours1", min_size=1, max_size=12)
FORGERIES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.text("abc@.", min_size=1, max_size=20).map(lambda call_id: {"call_id": call_id}),
    TAGS.filter(lambda tag: tag != "from1").map(
        lambda tag: {"from_": f"<sip:caller@192.0.2.1>;tag={tag}"}
    ),
    TAGS.filter(lambda tag: tag != "ours").map(
        lambda tag: {"to": f"<sip:bridge@198.51.100.7>;tag={tag}"}
    ),
    st.sampled_from(
        [
            {"from_": "<sip:caller@192.0.2.1>"},
            {"to": "<sip:bridge@198.51.100.7>"},
            {"call_id": CALL_ID.upper()},
            {"from_": "<sip:caller@192.0.2.1>;tag=FROM1"},
            {"to": "<sip:bridge@198.51.100.7>;tag=OURS"},
            # The right tags, at the wrong ends.
            {
                "from_": "<sip:caller@192.0.2.1>;tag=ours",
                "to": "<sip:bridge@198.51.100.7>;tag=from1",
            },
            # A tag inside the quoted name or the URI is none.
            {"to": '"x;tag=ours" <sip:bridge@198.51.100.7;tag=ours>'},
        ]
    ),
)


class TestForgeries:
    """Whoever does not know Call-ID, both tags and the next number does not reach a call."""

    @given(FORGERIES, st.sampled_from(["BYE", "INVITE", "ACK", "INFO", "UPDATE"]))
    def test_one_changed_identifier_is_another_dialog(
        self, forgery: dict[str, Any], method: str
    ) -> None:
        dialog = called()
        right: dict[str, Any] = {"to": IN_DIALOG, "cseq": 2}
        assert DialogId.of_request(request(method, **right)) == dialog.id
        assert DialogId.of_request(request(method, **(right | forgery))) != dialog.id

    @given(st.integers(0, 5))
    def test_a_replayed_request_is_refused(self, number: int) -> None:
        dialog = called(request(cseq=5, extra=(CONTACT,)))
        assert dialog.accept_request(request("BYE", to=IN_DIALOG, cseq=number)) == 500


def test_no_repr_shows_a_name_or_an_address_that_a_peer_wrote() -> None:
    invite = request(
        call_id="CANARY",
        from_='"CANARY" <sip:CANARY@x>;tag=CANARY',
        to="<sip:CANARY@y>",
        extra=("Contact: <sip:CANARY@z>", "Record-Route: <sip:CANARY.example;lr>"),
    )
    assert "CANARY" not in repr(called(invite))


@pytest.mark.parametrize(
    ("uri", "lines", "wants_sips"),
    [
        ("sip:x", (CONTACT,), False),
        ("sips:x", (CONTACT,), True),
        ("sip:x", (CONTACT, "Record-Route: <sips:p.example;lr>"), True),
        ("sip:x", ("Contact: <sips:caller@192.0.2.10>",), True),
    ],
)
def test_our_contact_is_sips_where_anything_on_the_way_is(
    uri: str, lines: tuple[str, ...], wants_sips: bool
) -> None:
    assert called(request(uri=uri, extra=lines)).wants_sips is wants_sips
