# SPDX-License-Identifier: GPL-3.0-or-later
"""Every failure of connecting has a word and a sentence, told once."""

from __future__ import annotations

import logging
import re
import ssl
from errno import ENETUNREACH

import pytest

from dialin.sip import faults
from dialin.sip.faults import Fault, Faults, fault_of
from dialin.wire.flow import Flow

FLOW = Flow("TLS", "192.0.2.1", 5061)


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "words of OpenSSL"
    return error


def handshake(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "failed")
    error.reason = reason  # type: ignore[assignment]  # None where OpenSSL has no word
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (verification(9), "certificate-not-yet-valid"),
        (verification(10), "certificate-expired"),
        (verification(18), "certificate-self-signed"),
        (verification(19), "certificate-unknown-authority"),
        (verification(20), "certificate-unknown-authority"),
        (verification(21), "certificate-unknown-authority"),
        (verification(26), "certificate-wrong-purpose"),
        (verification(47), "certificate-invalid"),  # X509_V_ERR_PERMITTED_VIOLATION
        (verification(62), "certificate-wrong-name"),
        (verification(64), "certificate-wrong-name"),
        (verification(66), "certificate-weak-key"),
        (verification(67), "certificate-weak-key"),
        (verification(68), "certificate-weak-signature"),
        (handshake("WRONG_VERSION_NUMBER"), "no-tls"),
        (handshake("HTTP_REQUEST"), "no-tls"),
        (handshake("UNSUPPORTED_PROTOCOL"), "tls-version"),
        (handshake("TLSV1_ALERT_PROTOCOL_VERSION"), "tls-version"),
        (handshake("SSLV3_ALERT_HANDSHAKE_FAILURE"), "tls-refused"),
        (handshake("NO_SHARED_CIPHER"), "tls-no-common-cipher"),
        (handshake("TLSV1_ALERT_UNKNOWN_CA"), "certificate-refused"),
        (handshake("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "certificate-refused"),
        (handshake("DH_KEY_TOO_SMALL"), "tls-weak-key"),
        (handshake("UNEXPECTED_EOF_WHILE_READING"), "handshake-cut-off"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "handshake-cut-off"),
        (handshake("LENGTH_MISMATCH"), "tls-failed"),
        (handshake(None), "tls-failed"),
        (ConnectionRefusedError(), "connection-refused"),
        (ConnectionResetError(), "connection-reset"),
        (ConnectionAbortedError(), "handshake-timeout"),
        (TimeoutError(), "connection-timeout"),
        (OSError(ENETUNREACH, "Network is unreachable"), "unreachable"),
        (OSError(), "unreachable"),
    ],
)
def test_each_failure_has_its_word_and_a_sentence(error: BaseException, cause: str) -> None:
    fault = fault_of(error, server_name="sip.example.net")
    assert fault.cause == cause
    assert re.fullmatch(r"[a-z].*\.", fault.sentence)
    assert re.fullmatch(r"[A-Z].*\.", fault.remedy)
    assert str(fault) == f"{fault.sentence} {fault.remedy}"


def test_the_name_that_was_not_proved_is_told() -> None:
    assert "sip.example.net" in fault_of(verification(62), server_name="sip.example.net").sentence


def test_what_openssl_says_of_a_rare_fault_is_passed_on() -> None:
    assert "words of OpenSSL" in fault_of(verification(47)).sentence


EXPIRED = fault_of(verification(10))
RESET = fault_of(ConnectionResetError())


def test_a_fault_is_told_when_it_changes_and_not_at_every_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    known = Faults()
    for fault in (EXPIRED, EXPIRED, RESET):
        known.record(FLOW, fault)
    assert known.last(FLOW) == RESET
    known.clear(FLOW)
    known.clear(FLOW)
    assert known.last(FLOW) is None
    told = [(record.message, record.__dict__.get("cause")) for record in caplog.records]
    assert told == [
        ("no connection", "certificate-expired"),
        ("no connection", "connection-reset"),
        ("connected again", None),
    ]


def test_only_so_many_far_ends_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "MAX_REMEMBERED", 2)
    known = Faults()
    flows = [Flow("TLS", f"192.0.2.{number}", 5061) for number in range(3)]
    for flow in flows:
        known.record(flow, Fault("x", "y.", "Z."))
    assert [known.last(flow) is None for flow in flows] == [True, False, False]
