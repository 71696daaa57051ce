# SPDX-License-Identifier: GPL-3.0-or-later
"""How each provider behaves, as far as its pages and other people's configurations tell.

Where they do not tell how a call is written, `usual` has the forms that are played. How a call is
played is left to `exchange`, and what must come of it to the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dialin.presets import Preset, load
from tests.lab.exchange import Offer
from tests.wire.peers import Lines

BERLIN, CALLER = "+493012345678", "+4915738620594"
LONDON = "+442079460123"
PARIS, PARISIAN = "+33199001234", "0033639981234"
ZURICH = "+41445550123"
WASHINGTON, NEIGHBOUR = "+12025550143", "2025550199"
CONTACT = ""
"""As the called user: the request-URI is the Contact that we registered."""
SECOND = "127.0.2.1"
"""Where providers without registration call from; the conference is elsewhere."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a call is written."""

    name: str
    """What is special about it."""
    called: str
    """The user part of the request-URI, or CONTACT."""
    to: str
    """The user part of To."""
    caller: str
    """The From header without its tag."""
    headers: Lines = ()
    """What else says who calls."""
    label: str = "xxx-xxx-0594"
    """Who the room must see."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider, seen from its own side."""

    name: str
    """Its preset."""
    forms: tuple[Form, ...]
    """How its calls come."""
    offer: Offer
    """What it wants of our audio."""
    number: str = BERLIN
    """The customer's number."""
    user: str = ""
    """The customer's login."""
    realm: str = ""
    """What its challenges say."""
    algorithms: tuple[str, ...] = ("MD5",)
    """How it lets the password be proved; the last is insisted on."""
    granted_s: int = 300
    """How long a registration lasts there."""
    host: str = ""
    """Its server, where the preset does not know it."""
    redirected: Mapping[str, Any] = field(default_factory=dict)
    """Settings that have to name loopback here in place of the provider's networks."""

    @property
    def preset(self) -> Preset:
        """What operators are given for it."""
        return load(self.name)

    @property
    def registers(self) -> bool:
        """Whether its customers log in."""
        return self._says("mode") == "register"

    @property
    def transport(self) -> str:
        """How it signals."""
        return self._says("transport").upper()

    @property
    def is_tls(self) -> bool:
        """Whether its signalling is encrypted."""
        return self.transport == "TLS"

    @property
    def server(self) -> str:
        """The name that customers register at."""
        return (self.host or self._says("registrar")).partition(":")[0]

    def _says(self, setting: str) -> str:
        return str({**self.preset.trunk, **self.redirected}.get(setting, ""))


def usual(dialled: str, *, caller: str = CALLER, label: str = "xxx-xxx-0594") -> tuple[Form, ...]:
    """Where nothing tells: the two places of a dialled number, and a caller who withholds."""
    asserted = (("P-Asserted-Identity", f"<sip:{caller}@provider.example>"),)
    shown = f'"{caller}" <sip:{caller}@provider.example>'
    anonymous = '"Anonymous" <sip:anonymous@anonymous.invalid>'
    private = (*asserted, ("Privacy", "id"))
    return (
        Form("number in To", CONTACT, dialled, shown, asserted, label),
        Form("number in the request-URI", dialled, dialled, shown, asserted, label),
        Form("withheld", CONTACT, dialled, anonymous, private, "Phone caller 1"),
    )


KEYS = ("rtpmap:101 telephone-event/8000", "fmtp:101 0-16")
CLEAR, SECURE = Offer(), Offer("RTP/SAVP")
WITH_G722 = ("rtpmap:9 G722/8000", *KEYS)
WITH_OPUS = ("rtpmap:111 opus/48000/2", *WITH_G722)

EASYBELL = Provider(
    "easybell",
    (
        *usual("00493012345678"),
        Form("national", "03012345678", "03012345678", f"<sip:{CALLER}@sip.easybell.de>"),
    ),
    Offer("RTP/SAVP", "8 0 9 101", WITH_G722),
    user="004930123456",
    realm="sip.easybell.de",
)
OTHERS = (
    Provider(
        "sipgate",
        (
            Form("number", "493012345678", "493012345678", "<sip:4915738620594@sipgate.de>"),
            Form(
                "withheld",
                "493012345678",
                "493012345678",
                "<sip:anonymous@sipgate.de>",
                (("P-Asserted-Identity", "<sip:4915738620594@sipgate.de>"), ("Privacy", "id")),
                "Phone caller 1",
            ),
        ),
        Offer("RTP/AVP", "9 8 0 101", WITH_G722),
        user="1234567t0",
        realm="sipgate.de",
    ),
    Provider(
        "1und1",
        (
            Form("number", "493012345678", "493012345678", "<sip:4915738620594@1und1.de>"),
            Form("Contact", CONTACT, "493012345678", "<sip:4915738620594@1und1.de>"),
        ),
        Offer("RTP/SAVP", "8 101"),
        user="493012345678",
        realm="1und1.de",
    ),
    Provider(
        "dusnet",
        (*usual("00493012345678"), usual("493012345678")[0]),
        SECURE,
        user="000387123456",
        realm="dus.net",
        redirected={"media_networks": ["127.0.0.1/32"]},
    ),
    Provider(
        "peoplefone",
        usual("0445550123", caller="0765550194", label="xxx-xxx-0194"),
        CLEAR,
        number=ZURICH,
        user="41445550123",
        realm="peoplefone.ch",
    ),
    Provider(
        "ovh",
        usual("0033199001234", caller=PARISIAN, label="xxx-xxx-1234"),
        Offer("RTP/AVP", "8 0 101"),
        number=PARIS,
        user="0033199001234",
        realm="siptrunk.ovh.net",
        granted_s=1800,
    ),
    Provider(
        "didww",
        usual("442079460123", caller="4915738620594"),
        Offer("RTP/SAVP", "0 8 9 101", WITH_G722),
        number=LONDON,
        user="didww-user",
        realm="didww.com",
    ),
    Provider(
        "telnyx",
        usual(LONDON),
        Offer("RTP/SAVP", "111 9 0 8 101", WITH_OPUS),
        number=LONDON,
        user="telnyxuser",
        realm="sip.telnyx.com",
    ),
    Provider(
        "twilio",
        (
            Form(
                "forwarded",
                LONDON,
                LONDON,
                f"<sip:{CALLER}@pstn.twilio.com>",
                (
                    ("Diversion", "<sip:+493099999999@twilio.com>;reason=unconditional"),
                    ("X-Twilio-CallSid", "CA00000000000000000000000000000000"),
                ),
            ),
        ),
        Offer("RTP/SAVP", "0 8 101"),
        number=LONDON,
        redirected={"allowed_sources": [f"{SECOND}/32"], "media_networks": [f"{SECOND}/32"]},
    ),
    Provider(
        "plivo",
        (Form("number", LONDON, LONDON, f"<sip:{CALLER}@zt.plivo.com>"),),
        Offer("RTP/SAVP", "8 0 101"),
        number=LONDON,
    ),
    Provider(
        "voipms",
        (
            Form(
                "ten digits",
                WASHINGTON[2:],
                WASHINGTON[2:],
                f"<sip:{NEIGHBOUR}@voip.ms>",
                label="xxx-xxx-0199",
            ),
            Form(
                "eleven digits",
                WASHINGTON[1:],
                WASHINGTON[1:],
                f"<sip:1{NEIGHBOUR}@voip.ms>",
                label="xxx-xxx-0199",
            ),
        ),
        Offer("RTP/AVP", "0 101"),
        number=WASHINGTON,
    ),
    Provider(
        "generic",
        usual(BERLIN),
        SECURE,
        user="customer",
        realm="provider.example",
        algorithms=("MD5", "SHA-256"),
        host="sip.provider.example",
    ),
)
