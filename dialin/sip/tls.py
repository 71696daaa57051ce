# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS for SIP: whom we believe, who we say we are, and what it means when a handshake fails.

TLS 1.2 or later with forward secrecy, as the keys of the audio travel in it (RFC 4568 §8.3). A
server has to prove the name from the settings (RFC 5922 §7.3), by a subjectAltName: the common name
counts for nothing. We diverge from RFC 5922 §7.2 in two ways that the providers' certificates ask
for: a wildcard in the leftmost label is accepted, and SIP URIs in a certificate are not looked at.

Who connects to whom is left to `tcp` and `door`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from dialin.errors import OperatorError
from dialin.wire.x509 import MalformedCertificate, not_after

HANDSHAKE_WITHIN_S = 5.0
"""How long a handshake may take."""
SHUTDOWN_WITHIN_S = 2.0
"""How long the far end may take to say goodbye."""
CIPHERS = (
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES"
    ":!aNULL:!aDSS:!SHA1:!AESCCM"
)
SECURITY_LEVEL = "@SECLEVEL=2"
"""OpenSSL's: 112 bits at least, so neither RSA with 1024 bits nor SHA-1 in a chain."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of ours, with its key."""

    file: Path
    """The certificate and those between it and its authority, as PEM."""
    key_file: Path | None = None
    """Its key, unencrypted, as PEM; None where it stands in the same file."""

    def expires_at(self) -> float:
        """When it expires, in seconds of the Unix epoch. Raises OperatorError."""
        try:
            # The first in the file is our own (RFC 8446 §4.4.2).
            _, begin, rest = self.file.read_text("ascii").partition(ssl.PEM_HEADER)
            body, end, _ = rest.partition(ssl.PEM_FOOTER)
            return not_after(ssl.PEM_cert_to_DER_cert(begin + body + end))
        except (OSError, ValueError, MalformedCertificate) as error:
            raise _unusable(self, error) from error


@dataclass(frozen=True, slots=True)
class TlsTarget:
    """What a server that we connect to has to prove, and what we prove to it."""

    server_name: str
    """Domain or address that its certificate has to name: the operator's word, never a peer's."""
    ca_file: Path | None = None
    """Authorities to trust, as PEM; None means those of the system."""
    certificate: Certificate | None = None
    """Our certificate, for servers that ask for one."""


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """For connections to us. Raises OperatorError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    load(context, certificate)
    return context


def client_context(target: TlsTarget) -> ssl.SSLContext:
    """For connections from us. Raises OperatorError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies chain and host name
    _harden(context)
    context.hostname_checks_common_name = False
    if target.ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        try:
            context.load_verify_locations(cafile=target.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise OperatorError(
                f"the certificate authorities in {target.ca_file} cannot be read: {_why(error)}.",
                "Name a file in PEM format that the service may read.",
            ) from error
    if target.certificate:
        load(context, target.certificate)
    return context


def load(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Use this certificate from now on. Raises OperatorError, and then nothing has changed."""
    try:
        # A key that is encrypted must fail here, not ask whoever sits at the terminal.
        context.load_cert_chain(certificate.file, certificate.key_file, password=lambda: "")
    except (OSError, ValueError) as error:
        raise _unusable(certificate, error) from error


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{CIPHERS}:{SECURITY_LEVEL}")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _unusable(certificate: Certificate, error: Exception) -> OperatorError:
    return OperatorError(
        f"the certificate {certificate.file} cannot be used: {_why(error)}.",
        "Name a certificate and its key, unencrypted, both in PEM format and readable by the "
        "service.",
    )


def _why(error: Exception) -> str:
    """What went wrong with a file of ours; OpenSSL's own words where it has any."""
    if isinstance(error, ssl.SSLError):
        words = (error.reason or "not PEM").replace("_", " ")
        return "certificate and key do not match" if "MISMATCH" in words else words.lower()
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    return "it is no certificate in PEM format"


class OwnCertificates:
    """The certificates that we prove ourselves with, as they are renewed on disk."""

    def __init__(self) -> None:
        self._contexts: dict[Certificate, list[ssl.SSLContext]] = {}
        self._seen: dict[Certificate, tuple[int, ...]] = {}

    def follow(self, certificate: Certificate, context: ssl.SSLContext) -> None:
        """Keep a context at what the certificate's files hold."""
        self._contexts.setdefault(certificate, []).append(context)
        self._seen.setdefault(certificate, _changes(certificate))

    def refresh(self) -> tuple[Certificate, ...]:
        """Take what was renewed on disk; returns it. Raises OperatorError.

        Connections that stand keep the old one, and so does everything if the new one is no good.
        """
        renewed = []
        for certificate, contexts in self._contexts.items():
            changes = _changes(certificate)
            if changes != self._seen[certificate]:
                self._seen[certificate] = changes
                for context in contexts:
                    load(context, certificate)
                renewed.append(certificate)
        return tuple(renewed)

    def expiries(self) -> dict[str, float]:
        """When each expires, by its file. One that cannot be read has no entry."""
        found = {}
        for certificate in self._contexts:
            try:
                found[str(certificate.file)] = certificate.expires_at()
            except OperatorError:
                continue
        return found


def _changes(certificate: Certificate) -> tuple[int, ...]:
    """Numbers that differ once a file is replaced or rewritten."""
    files = (certificate.file, certificate.key_file or certificate.file)
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return ()
    return tuple(number for stat in stats for number in (stat.st_ino, stat.st_mtime_ns))


@dataclass(frozen=True, slots=True)
class Trusted:
    """How to connect to one server."""

    server_name: str
    """What its certificate has to name."""
    context: ssl.SSLContext
    """What OpenSSL checks it by."""


class TrustBook:
    """Which certificate is expected where. What is not in it is not connected to."""

    def __init__(self, certificates: OwnCertificates) -> None:
        self._certificates = certificates
        self._contexts: dict[TlsTarget, ssl.SSLContext] = {}
        self._targets: dict[tuple[str, int], TlsTarget] = {}

    def trust(self, where: str, port: int, target: TlsTarget) -> None:
        """From now on, an address or network proves itself like this; port 0 means any.

        Raises OperatorError where a file cannot be used, or the place is another target's already.
        """
        place = (str(ip_network(where)), port)
        if self._targets.get(place, target) != target:
            raise OperatorError(
                f"{where} would have to be {self._targets[place].server_name} and "
                f"{target.server_name} at once.",
                "Give trunks and servers at one address the same name, authorities and client "
                "certificate.",
            )
        if target not in self._contexts:
            context = self._contexts[target] = client_context(target)
            if target.certificate:
                self._certificates.follow(target.certificate, context)
        self._targets[place] = target

    def find(self, host: str, port: int) -> Trusted | None:
        """How to connect there: by the narrowest entry, one with that very port first."""
        address = ip_address(host)
        fitting = [
            (ip_network(where).prefixlen, at == port, target)
            for (where, at), target in self._targets.items()
            if address in ip_network(where)
        ]
        if not fitting:
            return None
        # A server that we know by another port, as its Contact names one, is still that server.
        _, _, target = max(fitting, key=lambda entry: entry[:2])
        return Trusted(target.server_name, self._contexts[target])
