# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a connection cannot be had: one word for machines, and a sentence for whoever can mend it.

OpenSSL's and the kernel's words become causes here. They are told once when they change, not at
every attempt. Making connections is left to `tcp` and `door`.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass

from dialin.wire.flow import Flow

log = logging.getLogger(__name__)

MAX_REMEMBERED = 256
"""Far ends whose last fault is remembered."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why no connection stands."""

    cause: str
    """Kebab-case."""
    sentence: str
    """What is wrong, for an operator."""
    remedy: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}"


ASK_PROVIDER = "Tell whoever runs the server; do not switch verification off."
CLOCK = "Ask whoever runs the server to renew it, and check this machine's clock."
AUTHORITY = "If the server is yours, name its authority in tls_ca_file or voice_tls_ca_file."
TLS_PORT = "Check the port and the transport in the settings; SIP over TLS is usually on 5061."
OWN_CERTIFICATE = "Check the client certificate in the settings against what the provider expects."

NOT_CONFIGURED = Fault(
    "tls-name-unknown",
    "it is not known which name the server has to prove.",
    "Set the trunk's registrar, or where it has none its domain, to the provider's name.",
)

_VERIFICATION = {
    9: Fault("certificate-not-yet-valid", "the server's certificate is not valid yet.", CLOCK),
    10: Fault("certificate-expired", "the server's certificate has expired.", CLOCK),
    18: Fault(
        "certificate-self-signed", "the server's certificate is signed by itself.", AUTHORITY
    ),
    26: Fault(
        "certificate-wrong-purpose",
        "the server's certificate is not for servers.",
        ASK_PROVIDER,
    ),
    66: Fault("certificate-weak-key", "the key of the server's certificate is weak.", ASK_PROVIDER),
    68: Fault(
        "certificate-weak-signature",
        "the server's certificate is signed with a broken digest, such as SHA-1.",
        ASK_PROVIDER,
    ),
}
"""By X509_V_ERR_ number (openssl/x509_vfy.h)."""
_OTHER_NAME = {62, 64}
_UNKNOWN_AUTHORITY = {2, 19, 20, 21}
_WEAK_AUTHORITY = {67}

_HANDSHAKE = {
    "WRONG_VERSION_NUMBER": Fault("no-tls", "the server does not speak TLS there.", TLS_PORT),
    "HTTP_REQUEST": Fault("no-tls", "the other side does not speak TLS.", TLS_PORT),
    "VERSION": Fault(
        "tls-version",
        "the other side speaks only old versions of TLS; 1.2 is the oldest allowed.",
        ASK_PROVIDER,
    ),
    "PROTOCOL": Fault(
        "tls-version",
        "the other side speaks only old versions of TLS; 1.2 is the oldest allowed.",
        ASK_PROVIDER,
    ),
    "HANDSHAKE_FAILURE": Fault(
        "tls-refused",
        "the other side refuses the handshake: it wants a certificate of ours, or has no cipher in "
        "common with us.",
        OWN_CERTIFICATE,
    ),
    "CIPHER": Fault(
        "tls-no-common-cipher", "the two sides have no cipher in common.", ASK_PROVIDER
    ),
    "ALERT": Fault(
        "certificate-refused", "the other side does not accept our certificate.", OWN_CERTIFICATE
    ),
    "EOF": Fault(
        "handshake-cut-off", "the server hung up in the middle of the handshake.", TLS_PORT
    ),
    "TOO_SMALL": Fault("tls-weak-key", "the server's key exchange is weak.", ASK_PROVIDER),
}
"""By a part of OpenSSL's reason; the first that fits."""


def fault_of(error: BaseException, *, server_name: str = "") -> Fault:
    """What an error of connecting or of the handshake means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, server_name)
    if isinstance(error, ssl.SSLError):
        return _of_handshake(error)
    return _of_connection(error)


def _of_certificate(error: ssl.SSLCertVerificationError, server_name: str) -> Fault:
    code = error.verify_code
    if code in _OTHER_NAME:
        return Fault(
            "certificate-wrong-name",
            f"the server's certificate is not for {server_name}.",
            "Check registrar, outbound_proxy or voice_host in the settings; it has to be a name "
            "that the certificate has as a subjectAltName.",
        )
    if code in _UNKNOWN_AUTHORITY:
        return Fault(
            "certificate-unknown-authority",
            "the server's certificate comes from an authority that is not trusted.",
            AUTHORITY,
        )
    if code in _WEAK_AUTHORITY:
        return Fault(
            "certificate-weak-key", "the key of the certificate's authority is weak.", ASK_PROVIDER
        )
    return _VERIFICATION.get(code) or Fault(
        "certificate-invalid",
        f"the server's certificate is not acceptable: {error.verify_message}.",
        ASK_PROVIDER,
    )


def _of_handshake(error: ssl.SSLError) -> Fault:
    reason = "EOF" if isinstance(error, ssl.SSLEOFError) else error.reason or ""
    for part, fault in _HANDSHAKE.items():
        if part in reason:
            return fault
    words = reason.replace("_", " ").lower() or "no reason given"
    return Fault("tls-failed", f"the TLS handshake failed: {words}.", TLS_PORT)


def _of_connection(error: BaseException) -> Fault:
    match error:
        case ConnectionRefusedError():
            return Fault("connection-refused", "nobody listens there.", TLS_PORT)
        case ConnectionAbortedError():  # asyncio's word for a handshake that takes too long
            return Fault("handshake-timeout", "the TLS handshake was not done in time.", TLS_PORT)
        case ConnectionError():
            return Fault(
                "connection-reset",
                "the server broke the connection.",
                f"{TLS_PORT} Or it wants a client certificate.",
            )
        case TimeoutError():
            return Fault(
                "connection-timeout",
                "the server does not answer.",
                "Check the address, and that firewalls let the connection out.",
            )
        case OSError(strerror=str(words)):
            return Fault(
                "unreachable", f"the server is not reached: {words}.", "Check the network."
            )
        case _:
            return Fault("unreachable", "the server is not reached.", "Check the network.")


class Faults:
    """The last fault of each far end."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int], Fault] = {}

    def last(self, flow: Flow) -> Fault | None:
        """Why the last attempt failed; None if it did not."""
        return self._last.get((flow.transport, flow.host, flow.port))

    def record(self, flow: Flow, fault: Fault) -> None:
        """An attempt failed: told if it failed differently before, or not at all."""
        place = (flow.transport, flow.host, flow.port)
        before = self._last.pop(place, None)
        self._last[place] = fault
        if len(self._last) > MAX_REMEMBERED:
            del self._last[next(iter(self._last))]
        if before != fault:
            log.warning(
                "no connection",
                extra={
                    "peer": str(flow),
                    "cause": fault.cause,
                    "sentence": fault.sentence,
                    "remedy": fault.remedy,
                },
            )

    def clear(self, flow: Flow) -> None:
        """A connection stands."""
        if self._last.pop((flow.transport, flow.host, flow.port), None):
            log.info("connected again", extra={"peer": str(flow)})
