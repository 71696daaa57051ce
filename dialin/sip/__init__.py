# SPDX-License-Identifier: GPL-3.0-or-later
"""The signalling shell: sockets and one timer around the user agent of `dialin.wire`.

`endpoint` opens addresses and places calls, `legs` are what a call sees, `udp` and `tcp` carry the
octets, `tls` says whom we believe, `faults` why a connection cannot be had. What is said in SIP,
and when it is said again, is the business of `dialin.wire.agent`; what a session description
means, of `dialin.wire.sdp`.
"""

from dialin.sip.addresses import Listen
from dialin.sip.counters import SipCounters
from dialin.sip.endpoint import SipEndpoint
from dialin.sip.faults import Fault
from dialin.sip.legs import IncomingLeg, LegGone, OutgoingLeg, Refused, RequestFailed
from dialin.sip.tls import Certificate, OwnCertificates, TlsTarget
from dialin.wire.agent_events import LegEnd
from dialin.wire.reason import ByeReason, bye_reason

__all__ = [
    "ByeReason",
    "Certificate",
    "Fault",
    "IncomingLeg",
    "LegEnd",
    "LegGone",
    "Listen",
    "OutgoingLeg",
    "OwnCertificates",
    "Refused",
    "RequestFailed",
    "SipCounters",
    "SipEndpoint",
    "TlsTarget",
    "bye_reason",
]
