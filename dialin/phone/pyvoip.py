# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of pyVoIP that the test phone uses, with types: pyVoIP ships none.

Only names. How they behave, and what of it is replaced, is told in `stack`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

__all__ = [
    "CallState",
    "PayloadType",
    "RTPClient",
    "RTPMessage",
    "SIPClient",
    "SIPMessage",
    "SIPMessageType",
    "SIPStatus",
    "VoIPCall",
    "VoIPPhone",
]

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from threading import Lock

    class PayloadType:
        PCMU: PayloadType

    class CallState:
        ANSWERED: CallState
        DIALING: CallState

    class SIPMessageType:
        RESPONSE: SIPMessageType

    class SIPStatus:
        OK: SIPStatus

        def __int__(self) -> int: ...

    class SIPMessage:
        body: dict[str, Any]
        headers: dict[str, Any]
        status: SIPStatus
        type: SIPMessageType

        def __init__(self, data: bytes) -> None: ...

    class SIPClient:
        NSD: bool
        callCallback: Callable[[SIPMessage], None]
        myIP: str
        myPort: int
        out: socket.socket
        port: int
        recvLock: Lock
        s: socket.socket
        server: str
        sessID: Any

        def __init__(
            self,
            server: str,
            port: int,
            username: str,
            password: str,
            phone: VoIPPhone,
            *,
            myIP: str,
            callCallback: Callable[[SIPMessage], None],
        ) -> None: ...
        def gen_ack(self, request: SIPMessage) -> str: ...
        def gen_branch(self) -> str: ...
        def gen_invite(
            self,
            number: str,
            sess_id: str,
            ms: dict[int, dict[int, PayloadType]],
            sendtype: str,
            branch: str,
            call_id: str,
        ) -> str: ...
        def parse_message(self, message: SIPMessage) -> None: ...
        def recv(self) -> None: ...

    class RTPMessage:
        SSRC: int
        payload: bytes
        timestamp: int

    class RTPClient:
        NSD: bool
        sin: socket.socket
        sout: Any

        def __init__(
            self,
            assoc: dict[int, PayloadType],
            in_ip: str,
            in_port: int,
            out_ip: str,
            out_port: int,
            sendrecv: str,
        ) -> None: ...
        def parse_packet(self, packet: bytes) -> None: ...
        def recv(self) -> None: ...
        def trans(self) -> None: ...

    class VoIPCall:
        RTPClients: list[RTPClient]
        state: CallState

        def __init__(
            self,
            phone: VoIPPhone,
            callstate: CallState,
            request: SIPMessage,
            session_id: int,
            my_ip: str,
            *,
            ms: dict[int, dict[int, PayloadType]],
            sendmode: str,
        ) -> None: ...
        def answered(self, request: SIPMessage) -> None: ...
        def bye(self) -> None: ...
        def hangup(self) -> None: ...
        def write_audio(self, data: bytes) -> None: ...

    class VoIPPhone:
        assignedPorts: list[int]
        calls: dict[str, VoIPCall]
        myIP: str
        sendmode: str
        server: str

        def __init__(
            self,
            server: str,
            port: int,
            username: str,
            password: str,
            *,
            myIP: str,
        ) -> None: ...
        def callback(self, request: SIPMessage) -> None: ...
        def start(self) -> None: ...
        def stop(self, failed: bool = False) -> None: ...

else:
    with warnings.catch_warnings():
        # It imports audioop, which Python 3.13 no longer has; audioop-lts brings it back.
        warnings.simplefilter("ignore", DeprecationWarning)
        from pyVoIP.VoIP import VoIP  # first: pyVoIP's modules import one another in a ring

    from pyVoIP.RTP import PayloadType, RTPClient, RTPMessage
    from pyVoIP.SIP import SIPClient, SIPMessage, SIPMessageType, SIPStatus

    CallState, VoIPCall, VoIPPhone = VoIP.CallState, VoIP.VoIPCall, VoIP.VoIPPhone
