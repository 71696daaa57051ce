# SPDX-License-Identifier: GPL-3.0-or-later
"""a=crypto lines: the examples of RFC 4568, what peers write, and the round trip."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.sdes import (
    MAX_MKI_BYTES,
    Crypto,
    MalformedCrypto,
    MasterKey,
    SrtpKeys,
    Suite,
)

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
SECRET = base64.b64decode(KEY)


def crypto(rest: str = f"inline:{KEY}", suite: str = "AES_CM_128_HMAC_SHA1_80") -> Crypto:
    return Crypto.parse(f"1 {suite} {rest}")


class TestSuites:
    @pytest.mark.parametrize(
        ("suite", "key_bytes", "salt_bytes", "tag_bytes"),
        [
            ("AES_CM_128_HMAC_SHA1_80", 16, 14, 10),  # RFC 4568 §6.2.1
            ("AES_CM_128_HMAC_SHA1_32", 16, 14, 4),  # RFC 4568 §6.2.2
            ("AES_256_CM_HMAC_SHA1_80", 32, 14, 10),  # RFC 6188
            ("AES_256_CM_HMAC_SHA1_32", 32, 14, 4),
            ("AEAD_AES_128_GCM", 16, 12, 16),  # RFC 7714
            ("AEAD_AES_256_GCM", 32, 12, 16),
        ],
    )
    def test_lengths(self, suite: str, key_bytes: int, salt_bytes: int, tag_bytes: int) -> None:
        known = Suite(suite)
        assert (known.key_bytes, known.salt_bytes) == (key_bytes, salt_bytes)
        assert known.master_bytes == key_bytes + salt_bytes
        assert known.tag_bytes == tag_bytes

    def test_authenticated_encryption_is_liked_best_and_short_tags_least(self) -> None:
        assert list(Suite) == [
            "AEAD_AES_256_GCM",
            "AEAD_AES_128_GCM",
            "AES_CM_128_HMAC_SHA1_80",
            "AES_256_CM_HMAC_SHA1_80",
            "AES_CM_128_HMAC_SHA1_32",
            "AES_256_CM_HMAC_SHA1_32",
        ]


class TestReading:
    def test_the_offer_of_rfc_4568_7_1_1(self) -> None:
        line = crypto(f"inline:{KEY}|2^20|1:4 FEC_ORDER=FEC_SRTP")
        assert line == Crypto(
            tag=1,
            suite=Suite.AES_CM_128_HMAC_SHA1_80,
            keys=(MasterKey(SECRET, 2**20, b"\0\0\0\1"),),
            session_params=("FEC_ORDER=FEC_SRTP",),
        )
        assert line.is_usable

    def test_several_keys_of_rfc_4568_6_1(self) -> None:
        line = crypto(
            "inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4;"
            "inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4"
        )
        assert [key.mki for key in line.keys] == [b"\0\0\0\1", b"\0\0\0\2"]
        assert line.keys[1].key_and_salt == b"ABcdef123456789ABCDE0123456789"
        assert not line.is_usable

    def test_an_mki_without_a_lifetime_of_rfc_4568_6_1(self) -> None:
        (key,) = crypto("inline:YUJDZGVmZ2hpSktMbW9QUXJzVHVWd3l6MTIzNDU2|1066:4").keys
        assert (key.lifetime, key.mki) == (None, (1066).to_bytes(4))

    def test_one_key_with_an_mki_is_usable(self) -> None:
        assert crypto(f"inline:{KEY}|2^31|1:1").is_usable

    @pytest.mark.parametrize(
        ("text", "packets"),
        [("2^31", 2**31), ("2^0", 1), ("1048576", 2**20), ("10", 10), ("2^99", 2**99)],
    )
    def test_lifetimes(self, text: str, packets: int) -> None:
        assert crypto(f"inline:{KEY}|{text}").keys[0].lifetime == packets

    @pytest.mark.parametrize("suite", Suite)
    def test_padding_may_be_left_out_as_freeswitch_does(self, suite: Suite) -> None:
        secret = bytes(range(suite.master_bytes))
        padded = base64.b64encode(secret).decode()
        for text in (padded, padded.rstrip("=")):
            assert crypto(f"inline:{text}", suite).keys[0].key_and_salt == secret

    def test_blanks_between_the_parts_and_around_them(self) -> None:
        text = f"  1   AES_CM_128_HMAC_SHA1_80 \tINLINE:{KEY}   WSH=64  -x "
        assert Crypto.parse(text) == crypto(f"inline:{KEY} WSH=64 -x")

    @pytest.mark.parametrize("octets", [1, MAX_MKI_BYTES])
    def test_the_longest_mki_and_the_shortest(self, octets: int) -> None:
        largest = 256**octets - 1
        assert crypto(f"inline:{KEY}|{largest}:{octets}").keys[0].mki == b"\xff" * octets


class TestUsing:
    @pytest.mark.parametrize(
        "param",
        [
            "KDR=1",
            "UNENCRYPTED_SRTP",
            "UNENCRYPTED_SRTCP",
            "UNAUTHENTICATED_SRTP",
            f"FEC_KEY=inline:{KEY}",
            "newer",
            "WSHX=64",
        ],
    )
    def test_what_we_do_not_do_or_do_not_want_makes_a_line_unusable(self, param: str) -> None:
        assert not crypto(f"inline:{KEY} WSH=64 {param}").is_usable

    @pytest.mark.parametrize("param", ["WSH=128", "FEC_ORDER=SRTP_FEC", "-newer", "-x=y"])
    def test_what_asks_nothing_of_us_does_not(self, param: str) -> None:
        assert crypto(f"inline:{KEY} {param}").is_usable


class TestRefusing:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            f"x AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
            f"-1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
            f"1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
            f"\u0661 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
            f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
            f"1 aes_cm_128_hmac_sha1_80 inline:{KEY}",
            f"1 AES_CM_128_HMAC_SHA1_80 {KEY}",
            f"1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}",
            "1 AES_CM_128_HMAC_SHA1_80 inline:",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-4]}",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-3]}",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-1]}!",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-1]}é",
            f"1 AEAD_AES_128_GCM inline:{KEY}",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY[:8]}",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|0",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^100",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|3^20",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4|2^20",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:0",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:129",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|256:1",
            f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:",
        ],
    )
    def test_a_line_that_cannot_be_used_as_it_is(self, text: str) -> None:
        with pytest.raises(MalformedCrypto):
            Crypto.parse(text)

    def test_no_error_repeats_a_key(self) -> None:
        for suite in ("AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80 x", KEY):
            with pytest.raises(MalformedCrypto) as error:
                Crypto.parse(f"1 {suite} inline:{KEY}")
            assert KEY[:8] not in str(error.value)
            assert error.value.__cause__ is None

    @given(st.text() | st.text(alphabet="1 AES_CM0f8/+=|:;^inline-\udcff").map(lambda t: "1 " + t))
    def test_whatever_the_text_is_it_is_read_or_refused(self, text: str) -> None:
        try:
            line = Crypto.parse(text)
        except MalformedCrypto:
            return
        assert Crypto.parse(str(line)) == line

    @given(
        st.builds(
            "{} {} {}inline:{}{}{} {}".format,
            st.sampled_from(["1", "", "99999999999"]),
            st.sampled_from(["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM", "F8"]),
            st.sampled_from(["", f"inline:{KEY};", ";"]),
            st.sampled_from([KEY, KEY[:-3] + "=", KEY[:-2] + "==", KEY + "=="]),
            st.sampled_from(["", "|", "|2^20", "|0", "|77"]),
            st.sampled_from(["", "|", "|1:4", "|1:0", "|99999:1", "|1"]),
            st.sampled_from(["", "KDR=1", "WSH=64 -x", "\udcff"]),
        )
    )
    def test_what_is_nearly_right_as_well(self, text: str) -> None:
        try:
            line = Crypto.parse(text)
        except MalformedCrypto:
            return
        assert Crypto.parse(str(line)) == line


def master_keys(suite: Suite) -> st.SearchStrategy[MasterKey]:
    return st.builds(
        MasterKey,
        st.binary(min_size=suite.master_bytes, max_size=suite.master_bytes),
        st.none() | st.integers(1, 2**48),
        st.binary(max_size=MAX_MKI_BYTES),
    )


CRYPTOS = st.sampled_from(Suite).flatmap(
    lambda suite: st.builds(
        Crypto,
        st.integers(0, 999999999),
        st.just(suite),
        st.lists(master_keys(suite), min_size=1, max_size=3).map(tuple),
        st.lists(st.from_regex(r"[!-~]{1,20}", fullmatch=True), max_size=3).map(tuple),
    )
)


class TestWriting:
    @given(CRYPTOS)
    def test_what_is_written_is_read_again(self, line: Crypto) -> None:
        assert Crypto.parse(str(line)) == line

    @given(st.lists(CRYPTOS, max_size=4))
    def test_lists_of_lines_as_well(self, lines: list[Crypto]) -> None:
        assert [Crypto.parse(str(line)) for line in lines] == lines

    @pytest.mark.parametrize("rest", [f"{KEY}|2^20|1:4", f"{KEY}|2^0", f"{KEY}|1066", KEY])
    def test_lifetimes_and_mki_as_they_were(self, rest: str) -> None:
        text = f"1 AES_CM_128_HMAC_SHA1_80 inline:{rest}"
        assert str(Crypto.parse(text)) == text

    def test_a_repr_shows_no_key(self) -> None:
        line = crypto(f"inline:{KEY} FEC_KEY=inline:{KEY}")
        keys = SrtpKeys(line.suite, SECRET, SECRET)
        for text in (repr(line), repr(keys), str(keys), repr(line.keys)):
            assert KEY not in text
            assert "semctl" not in text  # what the example's key says


class TestPackets:
    """RFC 3711 figures 1 and 2, RFC 7714 figures 2 to 4."""

    @staticmethod
    def keys(suite: str, mki: bytes = b"\0\1") -> SrtpKeys:
        return SrtpKeys(Suite(suite), b"", b"", mki)

    def test_an_mki_stands_before_the_tag(self) -> None:
        keys = self.keys("AES_CM_128_HMAC_SHA1_80")
        assert keys.without_mki(b"payload" + b"\0\1" + b"t" * 10) == b"payload" + b"t" * 10

    def test_a_short_tag_is_short_in_rtp_and_not_in_rtcp(self) -> None:
        keys = self.keys("AES_CM_128_HMAC_SHA1_32")
        assert keys.without_mki(b"payload" + b"\0\1" + b"t" * 4) == b"payload" + b"t" * 4
        report = b"report" + b"\0\1" + b"t" * 10
        assert keys.without_mki(report, is_rtcp=True) == b"report" + b"t" * 10

    @pytest.mark.parametrize("is_rtcp", [False, True])
    def test_an_mki_is_the_end_of_an_aead_packet(self, is_rtcp: bool) -> None:
        keys = self.keys("AEAD_AES_256_GCM")
        assert keys.without_mki(b"sealed" + b"\0\1", is_rtcp=is_rtcp) == b"sealed"

    def test_who_announces_an_mki_and_sends_none_is_understood(self) -> None:
        packet = b"payload" + b"t" * 10
        assert self.keys("AES_CM_128_HMAC_SHA1_80").without_mki(packet) == packet

    def test_without_an_mki_nothing_is_looked_for(self) -> None:
        packet = b"payload" + b"\0\1" + b"t" * 10
        assert self.keys("AES_CM_128_HMAC_SHA1_80", b"").without_mki(packet) is packet

    @given(st.binary(max_size=40), st.sampled_from(Suite), st.booleans())
    def test_any_packet_keeps_its_end(self, packet: bytes, suite: Suite, is_rtcp: bool) -> None:
        less = self.keys(suite).without_mki(packet, is_rtcp=is_rtcp)
        assert less == packet or (len(less) == len(packet) - 2 and b"\0\1" in packet)
