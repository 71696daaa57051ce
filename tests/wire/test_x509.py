# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a certificate, read out of its octets."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.x509 import MalformedCertificate, not_after


def element(tag: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes((tag, len(content))) + content


def certificate(end: bytes, *, version: bytes = b"\xa0\x03\x02\x01\x02") -> bytes:
    """As much of one as there is before its end."""
    validity = element(0x30, element(0x17, b"200101000000Z") + end)
    body = element(0x30, version + element(0x02, b"\x01") + b"\x30\x00\x30\x00" + validity)
    return element(0x30, body)


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]  # six numbers


@pytest.mark.parametrize(
    ("tag", "text", "when"),
    [
        (0x17, b"260131235959Z", (2026, 1, 31, 23, 59, 59)),
        (0x17, b"491231235959Z", (2049, 12, 31, 23, 59, 59)),
        (0x17, b"500101000000Z", (1950, 1, 1)),
        (0x18, b"20500101000000Z", (2050, 1, 1)),
        (0x18, b"99991231235959Z", (9999, 12, 31, 23, 59, 59)),  # RFC 5280 §4.1.2.5: no end
    ],
)
def test_both_forms_of_time_are_read(tag: int, text: bytes, when: tuple[int, ...]) -> None:
    assert not_after(certificate(element(tag, text))) == at(*when)


def test_the_first_version_does_not_say_its_version() -> None:
    end = element(0x17, b"260131000000Z")
    assert not_after(certificate(end, version=b"")) == at(2026, 1, 31)


def test_what_openssl_makes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "own.der"
    options = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "3", "-outform", "DER"]
    command: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        *options,
        "-keyout",
        tmp_path / "key",
        "-out",
        file,
    ]
    subprocess.run(command, check=True, capture_output=True)
    told = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", file, "-noout", "-enddate"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    expected = datetime.strptime(told, "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    assert not_after(file.read_bytes()) == expected.timestamp()


GOOD = certificate(element(0x17, b"260131000000Z"))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x31\x00",
        b"\x30\x80",
        b"\x30\x85\x00\x00\x00\x00\x00",
        b"\x30\x82\x01",
        b"\x30\x05\x30",
        certificate(element(0x16, b"260131000000Z")),
        certificate(element(0x17, b"261331000000Z")),
        certificate(element(0x17, b"\xff60131000000Z")),
        certificate(b""),
    ],
)
def test_what_is_no_certificate_is_told_so(octets: bytes) -> None:
    with pytest.raises(MalformedCertificate):
        not_after(octets)


@given(st.binary(max_size=200) | st.integers(0, len(GOOD)).map(lambda cut: GOOD[:cut]))
def test_whatever_comes_it_is_a_time_or_malformed(octets: bytes) -> None:
    try:
        assert isinstance(not_after(octets), float)
    except MalformedCertificate:
        return


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_octet_is_no_surprise(place: int, octet: int) -> None:
    changed = bytearray(GOOD)
    changed[place] = octet
    try:
        assert isinstance(not_after(bytes(changed)), float)
    except MalformedCertificate:
        return
