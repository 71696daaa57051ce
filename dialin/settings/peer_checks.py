# SPDX-License-Identifier: GPL-3.0-or-later
"""What must fit together within one trunk, or within one BigBlueButton server.

Each check raises the error of `base.refused`. Checks that need more than one trunk or server stand
in `model`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from dialin.settings.base import Encryption, Transport, refused

if TYPE_CHECKING:
    from dialin.settings.bbb import BbbServerSettings
    from dialin.settings.peers import TrunkSettings

TO_REGISTER = ("registrar", "username", "password")
TLS_FILES = ("tls_ca_file", "tls_client_certificate", "tls_client_key")


def check_trunk(trunk: TrunkSettings) -> None:
    """All checks of a trunk."""
    registration_is_complete(trunk)
    peer_has_sources(trunk)
    tls_files_are_used(trunk)
    fixed_number_exists(trunk)
    keys_are_hidden(
        trunk.media_encryption,
        trunk.transport,
        setting="media_encryption",
        exception="allow_insecure_sdes",
        is_allowed=trunk.allow_insecure_sdes,
    )


def check_server(server: BbbServerSettings) -> None:
    """All checks of a BigBlueButton server."""
    keys_are_hidden(
        server.voice_encryption,
        server.voice_transport,
        setting="voice_encryption",
        exception="voice_allow_insecure_sdes",
        is_allowed=server.voice_allow_insecure_sdes,
    )
    keys_are_hidden(
        server.voice_encryption,
        server.livekit_way,
        setting="livekit_transport",
        exception="voice_allow_insecure_sdes",
        is_allowed=server.voice_allow_insecure_sdes or server.bridge == "freeswitch",
    )
    if server.voice_tls_ca_file and "tls" not in (server.voice_transport, server.livekit_way):
        raise refused(
            'certificates are for voice_transport = "tls" only.',
            "Set the transport, or remove the file.",
            setting="voice_tls_ca_file",
        )
    public_audio_is_wanted(server, server.voice_address, setting="voice_host")
    if server.livekit_host and server.bridge != "freeswitch":
        public_audio_is_wanted(server, server.livekit_host, setting="livekit_host")


def registration_is_complete(trunk: TrunkSettings) -> None:
    """Where we register, we know where and as whom."""
    missing = [key for key in TO_REGISTER if getattr(trunk, key) is None]
    if trunk.mode == "register" and missing:
        raise refused(
            f"registration needs {', '.join(missing)} too.",
            "Enter what the provider gave you, the password best as a secret file.",
            setting=missing[0],
        )


def peer_has_sources(trunk: TrunkSettings) -> None:
    """Without registration, the source address is all that a provider is known by."""
    if trunk.mode == "peer" and not trunk.allowed_sources:
        raise refused(
            "a trunk that does not register is known by the networks it signals from, and there "
            "are none.",
            'Name them; the provider\'s help pages or support have them. Or set mode = "register".',
            setting="allowed_sources",
        )


def tls_files_are_used(trunk: TrunkSettings) -> None:
    """Certificates are there for TLS, and a certificate comes with its key."""
    named = [key for key in TLS_FILES if getattr(trunk, key) is not None]
    if named and trunk.transport != "tls":
        raise refused(
            'certificates are for transport = "tls" only.',
            "Set the transport, or remove the file.",
            setting=named[0],
        )
    if (trunk.tls_client_certificate is None) != (trunk.tls_client_key is None):
        raise refused(
            "a client certificate and its key belong together, and one is missing.",
            "Name both files; they may be one and the same.",
            setting="tls_client_certificate",
        )


def fixed_number_exists(trunk: TrunkSettings) -> None:
    """A number that no call tells has to be known."""
    if "fixed" in trunk.number_from and not trunk.numbers:
        raise refused(
            "the number is to be the first of numbers, and there is none.",
            "Add the number to numbers.",
            setting="number_from",
        )


def keys_are_hidden(
    encryption: Encryption,
    transport: Transport,
    *,
    setting: str,
    exception: str,
    is_allowed: bool,
) -> None:
    """SDES writes SRTP's keys into the signalling (RFC 4568 §8.3): it must be encrypted itself."""
    if encryption == "require" and transport != "tls" and not is_allowed:
        raise refused(
            f"the keys of the encrypted audio would travel in the clear over {transport}, so it "
            "would protect nobody.",
            f"Use TLS, or set {exception} = true if the way there is protected otherwise.",
            setting=setting,
        )


def public_audio_is_wanted(server: BbbServerSettings, address: str, *, setting: str) -> None:
    """Nobody sends callers' audio over the internet by mistake."""
    is_safe = server.voice_encryption == "require"
    if not is_safe and not server.voice_in_clear and is_public(address):
        raise refused(
            "callers' audio would cross a public network unencrypted.",
            'Use an address inside a private network or tunnel, set voice_encryption = "require", '
            "or set voice_in_clear = true.",
            setting=setting,
        )


def is_public(host: str) -> bool:
    """Whether a host is an address that the whole internet reaches. Names are not looked up."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return False
