# SPDX-License-Identifier: GPL-3.0-or-later
"""A caller on our own SIP endpoint and media plane: calls, presses keys, notices audio, hangs up.

It shares its stack with the service, so it proves less than the foreign phone of `phone`; but it
runs on the service's loop, and can one day speak what that phone cannot. When to call, and what
the outcome means, is left to `selftest` and the command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dialin.events import Codec
from dialin.media.engine import MediaEngine, MediaLeg
from dialin.negotiation import Negotiation, Terms
from dialin.sip import IncomingLeg, LegEnd, Listen, OutgoingLeg, SipEndpoint
from dialin.wire.encryption import Encryption
from dialin.wire.flow import Flow

CODECS = (Codec.PCMA, Codec.PCMU, Codec.G722)
LOOK_EVERY_S = 0.1
"""How soon audio is noticed: nobody tells when it comes."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A call that is up."""

    media: MediaLeg
    """Our side of the audio."""
    sip: OutgoingLeg
    """Our side of the signalling."""

    @property
    def ended(self) -> asyncio.Future[LegEnd]:
        """Set when the call is over."""
        return self.sip.ended

    async def hears(self, within_s: float) -> bool:
        """Whether any audio has come, or comes in this time."""
        try:
            async with asyncio.timeout(within_s):
                while not (await self.media.statistics()).packets_received:  # noqa: ASYNC110 - see LOOK_EVERY_S
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return False
        return True

    async def press(self, keys: str) -> None:
        """Press keys, and return when the last is up. Raises MediaRefused."""
        await self.media.send_digits(keys)


class OwnPhone:
    """The phone. It calls one host only, and is not called by anybody."""

    def __init__(
        self, sip: SipEndpoint, media: MediaEngine, *, codecs: Sequence[Codec] = CODECS
    ) -> None:
        """For `opened_phone`."""
        self._sip = sip
        self._media = media
        self._codecs = tuple(codecs)

    @asynccontextmanager
    async def calling(
        self, number: str, flow: Flow, *, caller: str = "anonymous", answer_within_s: float = 20.0
    ) -> AsyncIterator[Talk]:
        """A call to a number at `flow` while the block runs; hung up at its end.

        Raises Refused, LegGone or NoMediaPort where there is no call, PeerError where nothing can
        be agreed, OperatorError where there is no way.
        """
        host = self._sip.local_host_for(flow)
        async with AsyncExitStack() as undo:
            media = await self._media.open(host=host, allowed=[flow.host])
            undo.push_async_callback(media.close)
            audio = Negotiation(media, host, Terms(self._codecs, Encryption.OFF))
            at = f"[{flow.host}]" if ":" in flow.host else flow.host
            sip = await self._sip.invite(
                f"sip:{number}@{at}:{flow.port}",
                flow,
                from_display="",
                from_user=caller,
                offer=audio.offer(),
                answer_within_s=answer_within_s,
            )
            undo.callback(sip.hang_up)
            audio.attend(sip)
            await audio.accept(await sip.answered())
            await media.start()
            yield Talk(media, sip)


@asynccontextmanager
async def opened_phone(
    host: str, transport: str, media: MediaEngine, *, codecs: Sequence[Codec] = CODECS
) -> AsyncIterator[OwnPhone]:
    """A phone for calls to one literal address. Raises OperatorError."""
    anywhere = "::" if ":" in host else "0.0.0.0"  # noqa: S104 - hears that one address only
    async with await SipEndpoint.open(
        [Listen(transport, anywhere, 0)],
        allow_source=lambda source: source == host,
        on_call=_refuse,
        answer_options=False,
    ) as sip:
        yield OwnPhone(sip, media, codecs=codecs)


def _refuse(leg: IncomingLeg) -> None:
    leg.reject(480)
