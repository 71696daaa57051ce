# SPDX-License-Identifier: GPL-3.0-or-later
"""Digest authentication: the RFCs' examples, servers' habits, and what must never match or show."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.digest import (
    STRONGEST_FIRST,
    Algorithm,
    Challenge,
    Credentials,
    MalformedChallenge,
    answer,
    choose,
    parse_challenges,
    parse_credentials,
    verify,
)

RFC7616_CHALLENGES = [
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256,'
    ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",'
    ' opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5,'
    ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",'
    ' opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
]
RFC7616_SHA512_CHALLENGE = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256,'
    ' nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",'
    ' opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
)


def parse_one(value: str) -> Challenge:
    (challenge,) = parse_challenges([value])
    return challenge


def answer_as_alice(
    challenge: Challenge, *, method: str = "INVITE", body: bytes = b""
) -> Credentials:
    return parse_credentials(
        answer(
            challenge,
            username="alice",
            password="correct horse",
            method=method,
            uri="sip:bridge@example.org",
            body=body,
            cnonce="0a4f113b",
            nc=1,
        )
    )


class TestExamplesOfTheRfcs:
    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ],
    )
    def test_rfc7616_3_9_1(self, algorithm: str, response: str) -> None:
        (challenge,) = (
            one for one in parse_challenges(RFC7616_CHALLENGES) if one.algorithm == algorithm
        )
        value = answer(
            challenge,
            username="Mufasa",
            password="Circle of Life",
            method="GET",
            uri="/dir/index.html",
            cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            nc=1,
        )
        assert value == (
            'Digest username="Mufasa", realm="http-auth@example.org",'
            ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", uri="/dir/index.html",'
            f' response="{response}", algorithm={algorithm},'
            ' opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", qop=auth, nc=00000001,'
            ' cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"'
        )

    @pytest.mark.skipif(
        Algorithm.SHA_512_256 not in STRONGEST_FIRST, reason="no SHA-512/256 in this OpenSSL"
    )
    def test_rfc7616_3_9_2_as_erratum_4897_corrects_it(self) -> None:
        value = answer(
            parse_one(RFC7616_SHA512_CHALLENGE),
            username="Jäsøn Doe",
            password="Secret, or not?",
            method="GET",
            uri="/doe.json",
            cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            nc=1,
        )
        assert (
            parse_credentials(value).response
            == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        )

    def test_rfc2617_3_5(self) -> None:
        challenge = Challenge(
            "testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", qop=("auth", "auth-int")
        )
        value = answer(
            challenge,
            username="Mufasa",
            password="Circle Of Life",
            method="GET",
            uri="/dir/index.html",
            cnonce="0a4f113b",
            nc=1,
        )
        assert parse_credentials(value).response == "6629fae49393a05397450978507c4ef1"

    def test_a_server_older_than_qop_gets_the_hash_of_rfc2069(self) -> None:
        # The values are those of RFC 2069 §2.4 with the hash of its erratum 749.
        challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093")
        value = answer(
            challenge,
            username="Mufasa",
            password="CircleOfLife",
            method="GET",
            uri="/dir/index.html",
            cnonce="unused",
            nc=1,
        )
        assert 'response="1949323746fe6a43ef61f9606e7febea"' in value
        for absent in ("qop", "nc=", "cnonce", "algorithm", "opaque"):
            assert absent not in value


class TestChallengesOfRealServers:
    def test_several_challenges_in_one_header_line(self) -> None:
        challenges = parse_challenges([", ".join(RFC7616_CHALLENGES)])
        assert challenges == parse_challenges(RFC7616_CHALLENGES)
        assert [one.algorithm for one in challenges] == [Algorithm.SHA_256, Algorithm.MD5]

    def test_a_comma_in_the_realm(self) -> None:
        challenge = parse_one('Digest realm="Biloxi, MS, Digest realm=x", nonce="n"')
        assert challenge.realm == "Biloxi, MS, Digest realm=x"

    def test_escaped_quotes_are_undone_and_made_again(self) -> None:
        challenge = parse_one(r'Digest realm="the \"inner\" c:\\room", nonce="n"')
        assert challenge.realm == r'the "inner" c:\room'
        assert r'realm="the \"inner\" c:\\room"' in str(answer_as_alice(challenge))

    @pytest.mark.parametrize(
        ("written", "offered"),
        [
            ('qop="auth,auth-int"', ("auth", "auth-int")),
            ('qop="auth-int, AUTH"', ("auth", "auth-int")),
            ("qop=auth", ("auth",)),
            ('qop="auth-conf,auth-int"', ("auth-int",)),
            ('qop="auth-conf"', ()),
            ('qop=""', ()),
            ('stale="FALSE"', ()),
        ],
    )
    def test_qop_options_that_nobody_knows_are_ignored(
        self, written: str, offered: tuple[str, ...]
    ) -> None:
        assert parse_one(f'Digest realm="r", nonce="n", {written}').qop == offered

    @pytest.mark.parametrize(
        ("written", "is_stale"),
        [("stale=true", True), ('stale="TRUE"', True), ("stale=false", False), ("a=b", False)],
    )
    def test_stale(self, written: str, is_stale: bool) -> None:
        assert parse_one(f'Digest realm="r", {written}, nonce="n"').stale is is_stale

    def test_the_algorithm_is_echoed_as_written_and_never_where_it_was_not(self) -> None:
        assert "algorithm=md5" in str(
            answer_as_alice(parse_one('DIGEST Realm="r",NONCE="n",algorithm=md5'))
        )
        assert "algorithm" not in str(answer_as_alice(parse_one('Digest realm="r",nonce="n"')))

    @pytest.mark.parametrize(
        "other",
        [
            'Basic realm="r"',
            'Digest realm="r", nonce="n", algorithm=MD5-sess',
            'Digest realm="r", nonce="n", algorithm="SHA3-256"',
            'AKAv1 realm="r", nonce="n", algorithm=MD5',
            "Negotiate dG9rZW4=",
        ],
    )
    def test_what_cannot_be_answered_is_left_out_beside_what_can(self, other: str) -> None:
        usable = 'Digest realm="r", nonce="n"'
        assert parse_challenges([other]) == ()
        for values in ([other, usable], [usable, other], [f"{other}, {usable}"]):
            assert parse_challenges(values) == (Challenge("r", "n"),)

    def test_blanks_and_empty_elements_between_parameters(self) -> None:
        assert parse_one(' , Digest  realm = "r" ,, \t nonce="n" , ') == Challenge("r", "n")

    @pytest.mark.parametrize(
        "value",
        [
            "",
            " , ",
            "Digest",
            'realm="r", nonce="n"',
            'a=b, Digest realm="r", nonce="n"',
            'Digest realm="r"',
            'Digest nonce="n"',
            'Digest realm="r", nonce="n',
            r'Digest realm="r\", nonce=n',
            'Digest realm="r", realm="s", nonce="n"',
            'Digest realm="r" nonce "n"',
            'Digest realm="r", nonce="n", =x',
        ],
    )
    def test_malformed_challenges_are_refused_by_one_exception(self, value: str) -> None:
        with pytest.raises(MalformedChallenge):
            parse_challenges([value])

    @given(st.text(alphabet='Digest realm=",\\ n\t\udcffü', max_size=60))
    def test_the_parser_is_total(self, value: str) -> None:
        try:
            parse_challenges([value])
        except MalformedChallenge:
            return

    @pytest.mark.parametrize("hostile", ["a" * 40_000, 'Digest a="' + "\\" * 40_000, " ," * 20_000])
    def test_a_long_hostile_value_is_read_in_linear_time(self, hostile: str) -> None:
        started = time.process_time()
        with pytest.raises(MalformedChallenge):
            parse_challenges([hostile])
        assert time.process_time() - started < 0.5


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
CHALLENGES = st.sampled_from(STRONGEST_FIRST).flatmap(
    lambda algorithm: st.builds(
        Challenge,
        realm=PRINTABLE,
        nonce=PRINTABLE,
        algorithm=st.just(algorithm),
        algorithm_text=st.sampled_from(
            [str(algorithm), None] if algorithm == Algorithm.MD5 else [str(algorithm)]
        ),
        qop=st.sampled_from([(), ("auth",), ("auth-int",), ("auth", "auth-int")]),
        opaque=st.none() | PRINTABLE,
        stale=st.booleans(),
    )
)


@given(st.lists(CHALLENGES, min_size=1, max_size=4))
def test_every_list_of_challenges_round_trips(challenges: list[Challenge]) -> None:
    assert parse_challenges(map(str, challenges)) == tuple(challenges)
    assert parse_challenges([", ".join(map(str, challenges))]) == tuple(challenges)


class TestChoice:
    def test_the_strongest_wins_wherever_it_stands(self) -> None:
        md5, sha, strongest = (
            Challenge("r", "n", algorithm)
            for algorithm in (Algorithm.MD5, Algorithm.SHA_256, Algorithm.SHA_512_256)
        )
        assert choose([md5, sha, strongest]) is strongest
        assert choose([sha, md5]) is sha
        assert choose([md5]) is md5
        assert choose([]) is None

    def test_the_first_of_equals_wins(self) -> None:
        assert choose([Challenge("a", "n"), Challenge("b", "n")]) == Challenge("a", "n")

    def test_md5_can_be_ruled_out(self) -> None:
        sha_only = {Algorithm.SHA_256, Algorithm.SHA_512_256}
        assert choose([Challenge("r", "n")], allowed=sha_only) is None

    def test_auth_is_preferred_to_auth_int(self) -> None:
        assert answer_as_alice(Challenge("r", "n", qop=("auth", "auth-int"))).qop == "auth"


class TestVerification:
    @given(CHALLENGES, st.binary(max_size=40))
    def test_an_answer_verifies(self, challenge: Challenge, body: bytes) -> None:
        assert verify(
            answer_as_alice(challenge, body=body),
            challenge,
            username="alice",
            password="correct horse",
            method="INVITE",
            body=body,
        )

    @pytest.mark.parametrize(
        "forged",
        [
            {"username": "bob"},
            {"realm": "other"},
            {"nonce": "older"},
            {"uri": "sip:elsewhere@example.org"},
            {"algorithm": Algorithm.MD5},
            {"qop": "auth"},
            {"qop": None},
            {"cnonce": "other"},
            {"nc": "00000002"},
            {"response": ""},
            {"response": "ü" * 64},
        ],
    )
    def test_an_answer_with_one_part_changed_does_not(self, forged: dict[str, Any]) -> None:
        challenge = Challenge("r", "n", Algorithm.SHA_256, "SHA-256", qop=("auth-int",))
        credentials = replace(answer_as_alice(challenge, body=b"sdp"), **forged)
        assert not verify(
            credentials,
            challenge,
            username="alice",
            password="correct horse",
            method="INVITE",
            body=b"sdp",
        )

    @pytest.mark.parametrize(
        "differs",
        [{"password": "wrong"}, {"method": "BYE"}, {"body": b"other"}, {"username": "bob"}],
    )
    def test_an_answer_for_another_request_or_account_does_not(
        self, differs: dict[str, Any]
    ) -> None:
        challenge = Challenge("r", "n", qop=("auth-int",))
        credentials = answer_as_alice(challenge, body=b"sdp")
        true: dict[str, Any] = {"username": "alice", "password": "correct horse"}
        true |= {"method": "INVITE", "body": b"sdp"}
        assert verify(credentials, challenge, **true)
        assert not verify(credentials, challenge, **(true | differs))

    @pytest.mark.parametrize(
        "differs",
        [{"realm": "other"}, {"nonce": "other"}, {"algorithm": Algorithm.MD5}, {"qop": ()}],
    )
    def test_a_right_answer_to_another_challenge_does_not(self, differs: dict[str, Any]) -> None:
        answered = Challenge("r", "n", Algorithm.SHA_256, "SHA-256", qop=("auth",))
        credentials = answer_as_alice(answered)
        true: dict[str, Any] = {
            "username": "alice",
            "password": "correct horse",
            "method": "INVITE",
        }
        assert verify(credentials, answered, **true)
        assert not verify(credentials, replace(answered, **differs), **true)


class TestCredentials:
    @pytest.mark.parametrize(
        "value",
        [
            'Other username="u", realm="r", nonce="n", uri="sip:x", response="0"',
            'Digest username="u", realm="r", nonce="n", uri="sip:x"',
            'Digest username="u", realm="r", nonce="n", uri="sip:x", response="0", algorithm=MD9',
            'Digest username="u", realm="r", nonce="n", uri="sip:x", response="0", Basic a=b',
        ],
    )
    def test_what_is_not_one_whole_digest_answer_is_refused(self, value: str) -> None:
        with pytest.raises(MalformedChallenge):
            parse_credentials(value)

    def test_no_repr_shows_an_account_a_nonce_or_a_response(self) -> None:
        challenge = Challenge("r", "NONCE", opaque="OPAQUE", qop=("auth",))
        credentials = answer_as_alice(challenge)
        shown = repr(challenge) + repr(credentials)
        hidden = ("NONCE", "OPAQUE", "alice", "0a4f113b", credentials.response, "bridge@")
        assert [secret for secret in hidden if secret in shown] == []

    def test_no_error_text_repeats_what_the_peer_wrote(self) -> None:
        with pytest.raises(MalformedChallenge) as raised:
            parse_challenges(['Digest realm="CANARY", realm="CANARY"'])
        assert "CANARY" not in str(raised.value)
