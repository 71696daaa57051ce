# SPDX-License-Identifier: GPL-3.0-or-later
"""When a certificate ends: the one field of X.509 that nothing in the standard library tells.

Only as much DER (X.690) is read as leads to `notAfter` (RFC 5280 §4.1). Whether a certificate is
any good is for OpenSSL to say.
"""

from __future__ import annotations

from calendar import timegm
from datetime import datetime

from dialin.errors import PeerError

SEQUENCE = 0x30
VERSION = 0xA0
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
LONG_FORM = 0x80
"""X.690 §8.1.3: the first length octet, if further ones hold the length."""
MAX_LENGTH_OCTETS = 4


class MalformedCertificate(PeerError):
    """The octets are no certificate."""


def not_after(certificate: bytes) -> float:
    """When a DER certificate expires, in seconds of the Unix epoch. Raises MalformedCertificate."""
    _, whole, _ = _element(certificate, SEQUENCE)
    _, body, _ = _element(whole, SEQUENCE)
    tag, _, rest = _element(body)
    if tag == VERSION:
        _, _, rest = _element(rest)
    for _ in ("signature", "issuer"):
        _, _, rest = _element(rest, SEQUENCE)
    _, validity, _ = _element(rest, SEQUENCE)
    _, _, end = _element(validity)
    tag, text, _ = _element(end)
    return _seconds(tag, text)


def _element(data: bytes, wanted: int | None = None) -> tuple[int, bytes, bytes]:
    """The first element: its tag and content, and what follows it."""
    if len(data) < 2 or wanted not in (None, data[0]):
        raise MalformedCertificate("not the element that belongs here")
    length, start = data[1], 2
    if length >= LONG_FORM:
        start += length - LONG_FORM
        if not 2 < start <= 2 + MAX_LENGTH_OCTETS:
            raise MalformedCertificate("a length that cannot be")
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if end > len(data):
        raise MalformedCertificate("the end is missing")
    return data[0], data[start:end], data[end:]


def _seconds(tag: int, text: bytes) -> float:
    """RFC 5280 §4.1.2.5: two-digit years until 2049, four digits from then on, always in Z."""
    form = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(tag)
    if form is None:
        raise MalformedCertificate("not a time")
    try:
        at = datetime.strptime(text.decode("ascii"), form)  # noqa: DTZ007 - timegm reads it as UTC
    except ValueError:
        raise MalformedCertificate("a time that cannot be read") from None
    if tag == UTC_TIME and at.year >= 2050:
        at = at.replace(year=at.year - 100)
    return float(timegm(at.timetuple()))
