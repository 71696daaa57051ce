# SPDX-License-Identifier: GPL-3.0-or-later
"""The service on loopback with TLS on both sides, whoever calls and whatever the conference is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dialin import app
from dialin.demo.bbb import DemoBbb, Members
from dialin.demo.run import demo_settings
from dialin.sip import Certificate, Listen
from tests.fakes.authority import NAME, Authority
from tests.world import ANYWHERE, TOKEN, Served


@asynccontextmanager
async def serving_over_tls(
    voice: Listen,
    authority: Authority,
    certificate: Certificate,
    *,
    members: Members = lambda _voice_bridge: (),
    trunk_encryption: str = "prefer",
    voice_encryption: str = "prefer",
    **sections: dict[str, Any],
) -> AsyncIterator[Served]:
    """A service that takes calls over TLS and takes them to conferences at `voice` over TLS.

    It trusts the authority, and proves itself by the certificate to both sides.
    """
    async with DemoBbb(members=members) as bbb:
        tls: dict[str, dict[str, Any]] = {
            "sip": {
                "listen": [{"transport": "tls", "host": voice.host, "port": 0}],
                "tls_certificate": str(certificate.file),
                "tls_key": str(certificate.key_file),
            },
            "trunks": {
                "demo": {
                    "transport": "tls",
                    "domain": NAME,
                    "tls_ca_file": str(authority.file),
                    "tls_client_certificate": str(certificate.file),
                    "tls_client_key": str(certificate.key_file),
                    "allowed_sources": ["127.0.0.0/8"],
                    "media_encryption": trunk_encryption,
                }
            },
            "bbb_servers": {
                "demo": {
                    "url": bbb.url,
                    "secret": bbb.secret,
                    "voice_host": voice.host,
                    "voice_port": voice.port,
                    "voice_transport": "tls",
                    "voice_encryption": voice_encryption,
                    "voice_tls_ca_file": str(authority.file),
                }
            },
        }
        settings = demo_settings(ANYWHERE, ANYWHERE, TOKEN, bbb, voice, **tls, **sections)
        async with app.running(settings) as service:
            yield Served(bbb, service)
