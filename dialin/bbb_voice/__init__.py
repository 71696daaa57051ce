# SPDX-License-Identifier: GPL-3.0-or-later
"""Enter and leave a BigBlueButton voice conference: the outgoing leg into FreeSWITCH or LiveKit.

`way` takes a seat, `leg` is the seat, `servers` says where they are had; `gone` tells why one is
lost. Which room, which label: `pin` and `caller`. Joining the two legs' audio: `call`.
"""

from dialin.bbb_voice.errors import refusal_for
from dialin.bbb_voice.gone import Gone, why_gone
from dialin.bbb_voice.leg import ConferenceLeg
from dialin.bbb_voice.servers import KeyMethod, LiveKitTarget, VoiceServer, VoiceTarget
from dialin.bbb_voice.way import BbbVoice, Signalling, address_of, require_safe

__all__ = [
    "BbbVoice",
    "ConferenceLeg",
    "Gone",
    "KeyMethod",
    "LiveKitTarget",
    "Signalling",
    "VoiceServer",
    "VoiceTarget",
    "address_of",
    "refusal_for",
    "require_safe",
    "why_gone",
]
