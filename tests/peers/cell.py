# SPDX-License-Identifier: GPL-3.0-or-later
"""How calls come and go in a test: one cell of UDP, TCP or TLS with RTP or SRTP, for both legs.

Stories are written once. A test that wants them told in another cell sets `in_force` for a while;
scene, phone and conference look there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from dialin.demo.run import NUMBER
from dialin.sip import Certificate
from tests.fakes.authority import NAME, Authority

HOST, CONFERENCE_HOST = "127.0.0.1", "127.0.0.31"


@dataclass(frozen=True, slots=True)
class Cell:
    """One way of signalling and one of audio."""

    transport: str = "udp"
    encrypted: bool = False
    """Whether audio is SRTP, and nothing else is taken."""
    authority: Authority | None = None
    """Whom both sides trust, for TLS."""
    certificate: Certificate | None = None
    """By which the service and the conference prove themselves."""

    @classmethod
    def of(cls, transport: str, audio: str, authority: Authority, certificate: Certificate) -> Self:
        """The cell of a transport and of `rtp` or `srtp`; only TLS takes the certificates."""
        if transport != "tls":
            return cls(transport, audio == "srtp")
        return cls(transport, audio == "srtp", authority, certificate)

    @property
    def is_stream(self) -> bool:
        """Whether there are connections."""
        return self.transport != "udp"

    @property
    def conference_certificate(self) -> Certificate | None:
        """What the conference proves itself by, if it has to."""
        return self.certificate if self.transport == "tls" else None

    @property
    def sip(self) -> dict[str, Any]:
        """Settings of [sip]; UDP and TCP are there in any case."""
        transports = dict.fromkeys(("udp", "tcp", self.transport))
        listen = [{"transport": each, "host": HOST, "port": 0} for each in transports]
        return {"listen": listen, **self._files("tls_certificate", "tls_key")}

    @property
    def trunk(self) -> dict[str, Any]:
        """Settings of a trunk."""
        return {
            "transport": self.transport,
            "media_encryption": self._encryption,
            "allow_insecure_sdes": True,
            **self._trust("tls_ca_file"),
            **({"domain": NAME} if self.transport == "tls" else {}),
        }

    @property
    def voice(self) -> dict[str, Any]:
        """Settings of a BBB server's voice conferences."""
        return {
            "voice_transport": self.transport,
            "voice_encryption": self._encryption,
            "voice_allow_insecure_sdes": True,
            **self._trust("voice_tls_ca_file"),
        }

    @property
    def _encryption(self) -> str:
        return "require" if self.encrypted else "off"

    def _trust(self, setting: str) -> dict[str, str]:
        return {setting: str(self.authority.file)} if self.authority else {}

    def _files(self, certificate: str, key: str) -> dict[str, str]:
        if not self.certificate:
            return {}
        return {certificate: str(self.certificate.file), key: str(self.certificate.key_file)}

    def trunks(self, section: dict[str, Any]) -> dict[str, Any]:
        """The section of trunks of a test, in this cell."""
        trunks = {"demo": DEMO_TRUNK, **section}
        return {name: {**trunk, **self.trunk} for name, trunk in trunks.items()}


DEMO_TRUNK = {
    "allowed_sources": ["127.0.0.0/8"],
    "number_from": ["fixed"],
    "numbers": [{"e164": NUMBER, "country": "DE"}],
    "region": "DE",
}
"""Who calls in tests, where they do not say otherwise."""

_cells = [Cell()]


def in_force() -> Cell:
    """The cell of the test that runs."""
    return _cells[-1]


@contextmanager
def told_in(cell: Cell) -> Iterator[None]:
    """Let stories be told in this cell while the block runs."""
    _cells.append(cell)
    try:
        yield
    finally:
        _cells.pop()
