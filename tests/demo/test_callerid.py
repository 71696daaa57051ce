# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity as FreeSWITCH derives it and as BBB reads it: carelessly, so that leaks are seen."""

from __future__ import annotations

import pytest

from dialin.demo.callerid import CallerId, Kind, reading_of
from dialin.wire.message import Headers, Request

NUMBER = "+4915738620594"


def caller(from_: str, *headers: tuple[str, str]) -> CallerId:
    fields = (("From", f"{from_};tag=1"), *headers)
    return CallerId.of(Request("INVITE", "sip:72013@127.0.0.1", Headers(fields)))


class TestCallerId:
    @pytest.mark.parametrize(
        ("from_", "name", "number"),
        [
            (f'"xxx-xxx-0594" <sip:{NUMBER}@x.example>', "xxx-xxx-0594", NUMBER),
            (f"<sip:{NUMBER}@x.example>", NUMBER, NUMBER),
            (f"<tel:{NUMBER}>", NUMBER, NUMBER),
            ("<sip:x.example>", "unknown", ""),
            ("<mailto:ann@x.example>", "unknown", ""),
            ("<sip:ann@[x>", "unknown", ""),
            ('"Jörg 🎧" <sip:1@x.example>', "Jörg 🎧", "1"),
            ('"a%2DbbbID%2Db" <sip:1@x.example>', "a-bbbID-b", "1"),
        ],
    )
    def test_from(self, from_: str, name: str, number: str) -> None:
        seen = caller(from_)
        assert (seen.name, seen.number) == (name, number)

    @pytest.mark.parametrize(
        "header", ["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"]
    )
    def test_an_identity_header_beats_from(self, header: str) -> None:
        seen = caller('"mask" <sip:700@x.example>', (header, f'"Ann" <sip:{NUMBER}@x.example>'))
        assert (seen.name, seen.number) == ("Ann", NUMBER)

    def test_an_identity_without_a_display_name_keeps_the_one_of_from(self) -> None:
        seen = caller('"mask" <sip:700@x.example>', ("P-Asserted-Identity", f"<tel:{NUMBER}>"))
        assert (seen.name, seen.number) == ("mask", NUMBER)

    def test_an_identity_without_a_user_keeps_the_number_of_from(self) -> None:
        seen = caller('"mask" <sip:700@x>', ("P-Asserted-Identity", '"Ann" <sip:x.example>'))
        assert (seen.name, seen.number) == ("Ann", "700")

    def test_of_two_identities_the_asserted_one_beats_the_remote_party(self) -> None:
        seen = caller(
            '"mask" <sip:700@x.example>',
            ("P-Asserted-Identity", '"Asserted" <sip:1@x.example>, <tel:+2>'),
            ("Remote-Party-ID", '"Remote" <sip:2@x.example>'),
        )
        assert (seen.name, seen.number) == ("Asserted", "1")

    def test_an_identity_that_cannot_be_read_is_passed_over(self) -> None:
        seen = caller('"mask" <sip:700@x.example>', ("P-Asserted-Identity", '"Ann <sip:1@x'))
        assert (seen.name, seen.number) == ("mask", "700")

    def test_privacy_does_not_hide_the_identity(self) -> None:
        seen = caller(f'"Ann" <sip:{NUMBER}@x.example>', ("Privacy", "id"))
        assert (seen.name, seen.number) == ("Ann", NUMBER)

    def test_nothing_of_it_shows_in_a_repr(self) -> None:
        assert repr(caller(f'"Ann" <sip:{NUMBER}@x.example>')) == "CallerId(is_private=False)"


class TestRejected:
    @pytest.mark.parametrize(
        ("from_", "headers"),
        [
            ("<sip:x.example>", ()),
            ('"Ann" <sip:x.example>', ()),
            ('"Anonymous" <sip:700@x.example>', ()),
            ('"mask" <sip:Withheld@x.example>', ()),
            ('"0000000000" <sip:700@x.example>', ()),
            ('"mask" <sip:700@x.example>', (("Privacy", "id"),)),
            (
                '"mask" <sip:700@x.example>',
                (("Remote-Party-ID", "<sip:700@x.example>;privacy=full"),),
            ),
        ],
    )
    def test_the_anonymous_are_rejected(
        self, from_: str, headers: tuple[tuple[str, str], ...]
    ) -> None:
        assert caller(from_, *headers).is_rejected

    @pytest.mark.parametrize("name", ["xxx-xxx-1234", "Phone caller 1", "Private person"])
    def test_a_label_is_not(self, name: str) -> None:
        assert not caller(f'"{name}" <sip:700123@x.example>', ("Privacy", "none")).is_rejected


class TestReading:
    @pytest.mark.parametrize(
        "name", ["xxx-xxx-1234", "Phone caller 1 (2)", "bbbID", "GLOBAL_AUDIO"]
    )
    def test_a_phone_caller(self, name: str) -> None:
        reading = reading_of(name)
        assert (reading.kind, reading.user_id, reading.name) == (Kind.PHONE, "", name)

    @pytest.mark.parametrize(
        ("name", "kind", "user_id", "shown"),
        [
            ("GLOBAL_AUDIO_72013", Kind.INVISIBLE, "", "GLOBAL_AUDIO_72013"),
            ("w_abc_1-bbbID-Ann", Kind.WEB_USER, "w_abc", "Ann"),
            ("w_abc-bbbID-Ann", Kind.WEB_USER, "w_abc", "Ann"),
            ("w_abc_1-bbbID-LISTENONLY-Ann", Kind.LISTEN_ONLY, "w_abc", "Ann"),
            ("-bbbID-\nAnn", Kind.WEB_USER, "", "\nAnn"),
        ],
    )
    def test_a_name_that_takes_bbb_in(
        self, name: str, kind: Kind, user_id: str, shown: str
    ) -> None:
        reading = reading_of(name)
        assert (reading.kind, reading.user_id, reading.name) == (kind, user_id, shown)
