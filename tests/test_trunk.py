# SPDX-License-Identifier: GPL-3.0-or-later
"""What a trunk's INVITE says: which of our numbers was called, and who calls, if it may be known.

All numbers here are invented.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from ipaddress import IPv4Address
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.caller import RoomLabels
from dialin.errors import OperatorError
from dialin.events import UNKNOWN_NUMBER, CallError
from dialin.trunk import CALLER_FROM, FIXED, LEARNT_S, Trunk, TrunkNumber, Trunks, called_user
from dialin.wire.header import Address
from dialin.wire.message import Headers, Request, parse
from tests.test_caller import LABEL, assert_bbb_reads_a_phone_caller

BERLIN = TrunkNumber("+493012345678", ("de", "en"))
NEW_YORK = TrunkNumber("+12125551234", ("en",))
MOBILE = "+4915738620594"
OTHER = "+493098765432"


def invite(
    *headers: str,
    uri: str = "sip:+493012345678@bridge.example",
    to: str = "<sip:+493012345678@bridge.example>",
    sender: str = f"<sip:{MOBILE}@carrier.example>",
) -> Request:
    lines = [
        f"INVITE {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa",
        f"From: {sender};tag=1",
        f"To: {to}",
        "Call-ID: 1@carrier.example",
        "CSeq: 1 INVITE",
        "Max-Forwards: 70",
        *headers,
        "Content-Length: 0",
    ]
    request = parse("\r\n".join([*lines, "", ""]).encode())
    assert isinstance(request, Request)
    return request


def trunk(
    *,
    numbers: Sequence[TrunkNumber] = (BERLIN, NEW_YORK),
    number_from: Sequence[str] = ("request-uri", "To", "P-Called-Party-ID"),
    caller_from: Sequence[str] = CALLER_FROM,
    region: str | None = "DE",
) -> Trunk:
    return Trunk(
        "carrier",
        networks=["192.0.2.0/24"],
        numbers=numbers,
        number_from=number_from,
        caller_from=caller_from,
        region=region,
    )


class TestNumberCalled:
    @pytest.mark.parametrize(
        "user",
        ["+493012345678", "493012345678", "00493012345678", "03012345678", "%2B493012345678"],
    )
    def test_is_known_in_every_form_that_providers_write(self, user: str) -> None:
        dialled = trunk().identify(invite(uri=f"sip:{user}@bridge.example"))
        assert (dialled.number_called, dialled.languages) == ("+493012345678", ("de", "en"))
        assert dialled.language == "de"

    def test_may_be_a_tel_uri_with_separators(self) -> None:
        assert trunk().identify(invite(uri="tel:+1-212-555-1234")).language == "en"

    def test_may_carry_telephone_parameters(self) -> None:
        request = invite(uri="sip:+12125551234;npdi;cic=+1234@bridge.example;user=phone")
        assert trunk().identify(request).number_called == "+12125551234"

    def test_is_taken_from_to_where_the_request_uri_names_an_account(self) -> None:
        request = invite(uri="sip:100200_sub@bridge.example")
        assert trunk().identify(request).number_called == "+493012345678"

    @pytest.mark.parametrize("header", ["P-Called-Party-ID", "P-Preferred-Identity", "Diversion"])
    def test_is_taken_from_the_header_that_is_configured(self, header: str) -> None:
        request = invite(
            f"{header}: <sip:12125551234@carrier.example>", uri="sip:acc@b", to="<sip:acc@b>"
        )
        dialled = trunk(number_from=["request-uri", header]).identify(request)
        assert dialled.number_called == "+12125551234"

    @pytest.mark.parametrize(
        "value",
        ["12125551234", "+1 212 555 1234", "<12125551234@carrier.example>;reason=unconditional"],
    )
    def test_may_stand_bare_in_a_header_of_the_providers_own(self, value: str) -> None:
        request = invite(f"X-DID: {value}", uri="sip:acc@b", to="<sip:acc@b>")
        dialled = trunk(number_from=["request-uri", "X-DID"]).identify(request)
        assert dialled.number_called == "+12125551234"

    def test_is_not_taken_from_a_header_that_is_not_configured(self) -> None:
        request = invite("X-DID: 12125551234", uri="sip:acc@b", to="<sip:acc@b>")
        with pytest.raises(CallError):
            trunk().identify(request)

    def test_that_two_countries_write_alike_is_the_one_of_the_trunks_country(self) -> None:
        berlin, vienna = (
            TrunkNumber("+493012345678", ("de",)),
            TrunkNumber("+433012345678", ("at",)),
        )
        spelt = {"DE": "de", "AT": "at"}
        for region, language in spelt.items():
            for numbers in ([berlin, vienna], [vienna, berlin]):
                request = invite(uri="sip:03012345678@b")
                dialled = trunk(numbers=numbers, region=region).identify(request)
                assert dialled.language == language

    def test_is_international_before_it_is_national(self) -> None:
        national, foreign = (
            TrunkNumber("+12015550123", ("us",)),
            TrunkNumber("+2015550123", ("eg",)),
        )
        for numbers in ([national, foreign], [foreign, national]):
            request = invite(uri="sip:2015550123@b")
            dialled = trunk(numbers=numbers, region="US").identify(request)
            assert dialled.language == "eg"

    def test_follows_the_configured_order(self) -> None:
        request = invite(to="<sip:+12125551234@bridge.example>")
        assert trunk().identify(request).language == "de"
        assert trunk(number_from=["To", "request-uri"]).identify(request).language == "en"

    def test_may_be_fixed_where_requests_do_not_say_it(self) -> None:
        fixed = trunk(numbers=[NEW_YORK], number_from=["request-uri", FIXED])
        request = invite(uri="sip:acc@bridge", to="<sip:acc@bridge>")
        assert fixed.identify(request).number_called == "+12125551234"

    def test_that_is_not_ours_is_refused(self) -> None:
        request = invite(uri="sip:+4930111@bridge.example", to="<sip:+4930111@bridge.example>")
        with pytest.raises(CallError) as refused:
            trunk().identify(request)
        assert refused.value.reason == UNKNOWN_NUMBER

    def test_is_read_as_it_comes_on_a_trunk_without_a_list(self) -> None:
        anything = trunk(numbers=[])
        dialled = anything.identify(invite(uri="sip:030987654321@b"))
        assert (dialled.number_called, dialled.language) == ("+4930987654321", None)

    def test_may_stay_unknown_on_a_trunk_without_a_list(self) -> None:
        request = invite(uri="sip:9000@b", to="<mailto:room@b>")
        assert trunk(numbers=[]).identify(request).number_called == ""


class TestCaller:
    def shown(self, *headers: str, sender: str = f"<sip:{MOBILE}@carrier.example>") -> str:
        return trunk().identify(invite(*headers, sender=sender)).caller.masked

    def test_is_asserted_before_it_is_claimed(self) -> None:
        assert self.shown(f"P-Asserted-Identity: <sip:{OTHER}@carrier.example>") == "xxx-xxx-5432"
        assert self.shown(f"Remote-Party-ID: <sip:{OTHER}@carrier.example>") == "xxx-xxx-5432"
        assert self.shown() == "xxx-xxx-0594"

    def test_follows_the_configured_order(self) -> None:
        request = invite(f"P-Asserted-Identity: <sip:{OTHER}@carrier.example>")
        assert trunk(caller_from=["From"]).identify(request).caller.digits_shown == "0594"

    @pytest.mark.parametrize("header", ["P-Preferred-Identity", "Diversion"])
    def test_may_be_taken_from_other_headers(self, header: str) -> None:
        request = invite(f"{header}: <sip:{OTHER}@carrier.example>")
        assert trunk().identify(request).caller.digits_shown == "0594"
        configured = trunk(caller_from=[header.lower(), "from"])
        assert configured.identify(request).caller.digits_shown == "5432"

    def test_is_withheld_where_no_configured_header_names_it(self) -> None:
        assert trunk(caller_from=["P-Asserted-Identity"]).identify(invite()).caller.is_withheld

    @pytest.mark.parametrize(
        "identity",
        [
            f"<tel:{MOBILE}>",
            f"<sip:{MOBILE}@carrier.example>, <tel:{OTHER}>",
            f'"A" <sip:{MOBILE}@carrier.example>, "B" <sip:{OTHER}@carrier.example>',
            f'"A" <sip:alice@carrier.example>, "B" <tel:{MOBILE}>',
            f"<tel:dead>, <tel:{MOBILE}>",
            f"broken, <sip:{MOBILE}@carrier.example>",
            f'"x <sip:+49301111@evil.example>;tag=9" <sip:{MOBILE}@carrier.example>',
            f'"+49301111" <sip:{MOBILE}@carrier.example>',
            f"<sip:{MOBILE};verstat=TN-Validation-Passed@carrier.example;user=phone>",
            f"SIP:{MOBILE}@CARRIER.EXAMPLE",
        ],
    )
    def test_is_the_first_usable_asserted_number(self, identity: str) -> None:
        request = invite(f"P-Asserted-Identity: {identity}", sender=f"<sip:{OTHER}@c.example>")
        assert trunk().identify(request).caller.masked == "xxx-xxx-0594"

    def test_may_stand_in_a_second_header_line(self) -> None:
        request = invite(
            "P-Asserted-Identity: <sip:switchboard@carrier.example>",
            f"P-Asserted-Identity: <tel:{MOBILE}>",
            sender=f"<sip:{OTHER}@c.example>",
        )
        assert trunk().identify(request).caller.masked == "xxx-xxx-0594"

    def test_is_read_by_the_trunks_country(self) -> None:
        request = invite(sender="<sip:015738620594@carrier.example>")
        key = bytes(16)
        national = trunk().identify(request).caller
        international = trunk().identify(invite()).caller
        assert national.pseudonym(key, "m") == international.pseudonym(key, "m")

    def test_without_any_number_is_withheld(self) -> None:
        assert self.shown(sender="<sip:alice@carrier.example>") == "withheld"
        assert self.shown(sender="<sip:carrier.example>") == "withheld"
        assert self.shown(sender="<mailto:alice@carrier.example>") == "withheld"


class TestPrivacy:
    """Who does not want to be shown is not shown, though the trunk tells us the number."""

    PAI = f"P-Asserted-Identity: <sip:{MOBILE}@carrier.example>"

    @pytest.mark.parametrize(
        "headers",
        [
            ["Privacy: id"],
            ["Privacy: user"],
            ["Privacy: header"],
            ["Privacy: full"],
            ["Privacy: session;ID;critical"],
            ["Privacy: none", "Privacy: id"],
            [f"Remote-Party-ID: <sip:{MOBILE}@c.example>;screen=yes;privacy=full"],
            [f"Remote-Party-ID: <sip:{MOBILE}@c.example>;privacy=uri-network"],
        ],
    )
    def test_by_header(self, headers: list[str]) -> None:
        assert trunk().identify(invite(self.PAI, *headers)).caller.is_withheld

    @pytest.mark.parametrize(
        "sender",
        [
            '"Anonymous" <sip:anonymous@anonymous.invalid>',
            "<sip:anonymous@anonymous.invalid>",
            f'"Anonymous" <sip:{MOBILE}@carrier.example>',
            f'"Private Number" <sip:{MOBILE}@carrier.example>',
            "<sip:restricted@carrier.example>",
            "<sip:Unavailable@carrier.example>",
            "<sip:un%6Bnown@carrier.example>",
            "unknown <sip:+49@carrier.example>",
            f"<sip:{MOBILE}@anonymous.invalid>",
        ],
    )
    def test_by_an_anonymous_from(self, sender: str) -> None:
        assert trunk().identify(invite(self.PAI, sender=sender)).caller.is_withheld

    @pytest.mark.parametrize("code", ["%2331%23", "*31*", "*31%23", "*67"])
    def test_by_a_code_that_is_left_in_the_number(self, code: str) -> None:
        sender = f"<sip:{code}015738620594@carrier.example>"
        assert trunk().identify(invite(self.PAI, sender=sender)).caller.is_withheld

    @pytest.mark.parametrize("privacy", ["full", "uri"])
    def test_by_whoever_diverted_the_call_where_that_is_the_caller(self, privacy: str) -> None:
        request = invite(f"Diversion: <sip:{OTHER}@carrier.example>;privacy={privacy}")
        assert trunk(caller_from=["diversion", "from"]).identify(request).caller.is_withheld
        assert trunk().identify(request).caller.masked == "xxx-xxx-0594"

    def test_by_an_anonymous_asserted_identity(self) -> None:
        request = invite("P-Asserted-Identity: <sip:anonymous@carrier.example>")
        assert trunk().identify(request).caller.is_withheld

    @pytest.mark.parametrize(
        "header",
        [
            "Privacy: none",
            "Privacy: critical",
            f"Remote-Party-ID: <sip:{MOBILE}@c.example>;privacy=off",
            f"Remote-Party-ID: <sip:{MOBILE}@c.example>;privacy=name",
            f"Diversion: <sip:{OTHER}@c.example>;privacy=off",
        ],
    )
    def test_only_where_it_is_asked_for(self, header: str) -> None:
        assert trunk().identify(invite(self.PAI, header)).caller.masked == "xxx-xxx-0594"


def address(name: str, user: str) -> str:
    name = name.translate(dict.fromkeys(range(32), " "))
    return str(Address(name, f"sip:{quote(user, safe='')}@carrier.example"))


class TestSpoofing:
    """A display name decides nothing and reaches nobody."""

    @pytest.mark.parametrize(
        "name",
        [
            "w_abc_1-bbbID-Ada",
            "-bbbID-",
            "GLOBAL_AUDIO_1",
            "x_1-bbbID-LISTENONLY-y",
            "LISTENONLY",
            "%2DbbbID%2D",
            "%47LOBAL_AUDIO_1",
            "\u202eevil\u200b",
            "${system rm}",
            "x\\",
            '<sip:+4930111@evil.example>;tag="9',
        ],
    )
    @pytest.mark.parametrize("user", [MOBILE, "alice", "-bbbID-", "GLOBAL_AUDIO_1", "%2DbbbID%2D"])
    def test_of_bbbs_marks(self, name: str, user: str) -> None:
        request = invite(
            f"P-Asserted-Identity: {address(name, user)}", sender=address(name, MOBILE)
        )
        label = RoomLabels().claim("room", trunk().identify(request).caller)
        assert_bbb_reads_a_phone_caller(label)
        assert label in ("xxx-xxx-0594", "Phone caller 1")

    @given(name=st.text(), user=st.text(min_size=1), pai=st.booleans())
    def test_by_any_name_and_user_part(self, name: str, user: str, pai: bool) -> None:
        odd = address(
            name.encode(errors="replace").decode(), user.encode(errors="replace").decode()
        )
        request = invite(f"P-Asserted-Identity: {odd}") if pai else invite(sender=odd)
        label = RoomLabels().claim("room", trunk().identify(request).caller)
        assert LABEL.fullmatch(label)
        assert_bbb_reads_a_phone_caller(label)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["P-Asserted-Identity", "Remote-Party-ID", "From", "To", "Privacy", "Diversion"]
                ),
                st.text(),
            ),
            max_size=6,
        ),
        st.text(),
    )
    def test_identifying_is_total(self, fields: list[tuple[str, str]], uri: str) -> None:
        request = Request("INVITE", uri, Headers(tuple(fields)))
        dialled = trunk(numbers=[]).identify(request)
        assert dialled.number_called == "" or dialled.number_called[1:].isdigit()


class TestFirstCall:
    def test_is_logged_masked_with_the_headers_that_were_used(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        carrier = trunk()
        for _ in range(2):
            carrier.identify(invite(f"P-Asserted-Identity: <tel:{MOBILE}>", uri="sip:acc@b"))
        assert caplog.messages == [
            "trunk carrier: first call, number called from To, caller from P-Asserted-Identity "
            "(xxx-xxx-0594)"
        ]


class TestSettings:
    @pytest.mark.parametrize("network", ["192.0.2.1/24", "carrier.example", "", "192.0.2.0/33"])
    def test_refuse_what_is_no_network(self, network: str) -> None:
        with pytest.raises(OperatorError, match="not a network"):
            Trunk("carrier", networks=[network])
        with pytest.raises(OperatorError, match="not a network"):
            Trunk("carrier", networks=[], media_networks=[network])

    def test_refuse_an_unknown_country(self) -> None:
        with pytest.raises(OperatorError, match="ISO 3166"):
            trunk(region="de")

    def test_refuse_a_number_that_is_not_international(self) -> None:
        with pytest.raises(OperatorError, match=r"\+493012345678"):
            trunk(numbers=[TrunkNumber("03012345678")])

    def test_refuse_a_fixed_number_that_is_not_there(self) -> None:
        with pytest.raises(OperatorError, match="fixed"):
            trunk(numbers=[], number_from=[FIXED])

    def test_keep_the_media_networks(self) -> None:
        carrier = Trunk("carrier", networks=[], media_networks=["198.51.100.0/24"])
        assert carrier.media_networks == ("198.51.100.0/24",)


class TestSources:
    def trunks(self) -> Trunks:
        return Trunks(
            [
                Trunk("wide", networks=["192.0.2.0/24", "2001:db8::/32"]),
                Trunk("narrow", networks=["192.0.2.7", "2001:db8:7::1"]),
            ]
        )

    @pytest.mark.parametrize(
        ("ip", "name"),
        [
            ("192.0.2.1", "wide"),
            ("192.0.2.255", "wide"),
            ("192.0.2.7", "narrow"),
            ("::ffff:192.0.2.7", "narrow"),
            ("::ffff:192.0.2.8", "wide"),
            ("2001:db8::1", "wide"),
            ("2001:db8:7::1", "narrow"),
            ("2001:db8::1%eth0", "wide"),
        ],
    )
    def test_find_their_trunk(self, ip: str, name: str) -> None:
        trunks = self.trunks()
        found = trunks.trunk_for(ip)
        assert trunks.allows(ip)
        assert found is not None
        assert found.name == name
        assert found.from_source(ip)

    @pytest.mark.parametrize(
        "ip",
        ["192.0.3.1", "::ffff:192.0.3.1", "2001:db9::1", "::c000:201", "", "localhost", "192.0.2"],
    )
    def test_of_strangers_are_not_allowed(self, ip: str) -> None:
        assert not self.trunks().allows(ip)
        assert not any(one.from_source(ip) for one in [Trunk("wide", networks=["192.0.2.0/24"])])

    def test_nobody_is_allowed_where_there_is_no_trunk(self) -> None:
        assert not Trunks([]).allows("127.0.0.1")

    def test_of_two_trunks_are_never_the_same_network(self) -> None:
        with pytest.raises(OperatorError, match=r"a and b both come from 192\.0\.2\.7"):
            Trunks([Trunk("a", networks=["192.0.2.7"]), Trunk("b", networks=["192.0.2.7/32"])])

    def test_may_be_written_twice_in_one_trunk(self) -> None:
        assert Trunks([Trunk("a", networks=["192.0.2.7", "192.0.2.7/32"])]).allows("192.0.2.7")

    @given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
    def test_agree_with_the_networks_themselves(
        self, base: IPv4Address, length: int, other: IPv4Address
    ) -> None:
        network = ipaddress.ip_network(f"{base}/{length}", strict=False)
        trunks = Trunks([Trunk("a", networks=[str(network)])])
        assert trunks.allows(str(other)) == (other in network)


class TestRegistrars:
    NOW = 1000.0

    def trunks(self, **networks: Sequence[str]) -> Trunks:
        names = ("one", "two")
        return Trunks(
            [
                Trunk(name, networks=networks.get(name, ()), contact_user=f"dialin-{name}")
                for name in names
            ]
        )

    def name_at(self, trunks: Trunks, ip: str, user: str = "") -> str | None:
        found = trunks.trunk_for(ip, user)
        return found.name if found else None

    def test_calls_come_from_where_the_registrar_is(self) -> None:
        trunks = self.trunks()
        assert not trunks.allows("192.0.2.20")
        trunks.learn("one", ["192.0.2.20", "2001:db8::20"], self.NOW)
        assert trunks.allows("192.0.2.20")
        assert self.name_at(trunks, "192.0.2.20") == "one"
        assert self.name_at(trunks, "2001:db8::20") == "one"
        assert not trunks.allows("192.0.2.21")

    def test_a_registrar_that_moves_is_followed_and_heard_where_it_was_for_a_day(self) -> None:
        trunks = self.trunks()
        trunks.learn("one", ["192.0.2.20"], self.NOW)
        trunks.learn("one", ["192.0.2.21"], self.NOW + 600)
        assert self.name_at(trunks, "192.0.2.20") == "one"
        trunks.learn("one", ["192.0.2.21"], self.NOW + LEARNT_S)
        assert not trunks.allows("192.0.2.20")
        assert self.name_at(trunks, "192.0.2.21") == "one"

    def test_two_trunks_at_one_registrar_are_told_apart_by_the_contact_that_was_called(
        self,
    ) -> None:
        trunks = self.trunks()
        for name in ("one", "two"):
            trunks.learn(name, ["192.0.2.20"], self.NOW)
        request = invite(uri="sip:dialin-two@198.51.100.1:5060")
        assert self.name_at(trunks, "192.0.2.20", called_user(request)) == "two"
        assert self.name_at(trunks, "192.0.2.20", "dialin-one") == "one"
        assert self.name_at(trunks, "192.0.2.20", "+493012345678") == "one"

    def test_where_a_trunk_has_networks_they_alone_say_what_it_is(self) -> None:
        trunks = self.trunks(one=["203.0.113.0/28"])
        trunks.learn("one", ["192.0.2.20"], self.NOW)
        assert trunks.allows("192.0.2.20")  # the registrar's answers are read
        assert self.name_at(trunks, "192.0.2.20") is None
        assert self.name_at(trunks, "203.0.113.3") == "one"

    def test_a_trunk_that_registers_in_anothers_network_is_still_itself(self) -> None:
        trunks = self.trunks(one=["192.0.2.0/24"])
        trunks.learn("two", ["192.0.2.20"], self.NOW)
        assert self.name_at(trunks, "192.0.2.20") == "two"
        assert self.name_at(trunks, "192.0.2.19") == "one"


class TestTrunksThatChange:
    def test_new_ones_are_heard_and_those_that_are_gone_are_not(self) -> None:
        trunks = Trunks([Trunk("old", networks=["192.0.2.0/24"])])
        trunks.change([Trunk("new", networks=["203.0.113.0/28"])])
        assert not trunks.allows("192.0.2.1")
        found = trunks.trunk_for("203.0.113.1")
        assert found is not None
        assert found.name == "new"

    def test_the_registrar_of_one_that_stays_is_still_known(self) -> None:
        trunks = Trunks([Trunk("gone", networks=[]), Trunk("stays", networks=[])])
        trunks.learn("gone", ["192.0.2.20", "192.0.2.21"], 0)
        trunks.learn("stays", ["192.0.2.20"], 0)
        trunks.change([again := Trunk("stays", networks=[])])
        assert trunks.trunk_for("192.0.2.20") is again
        assert not trunks.allows("192.0.2.21")

    def test_what_is_refused_changes_nothing(self) -> None:
        trunks = Trunks([stays := Trunk("a", networks=["192.0.2.7"])])
        with pytest.raises(OperatorError):
            trunks.change([Trunk("b", networks=["::1"]), Trunk("c", networks=["::1"])])
        assert trunks.trunk_for("192.0.2.7") is stays
        assert not trunks.allows("::1")
