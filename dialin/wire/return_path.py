# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: what a server writes into a request's topmost Via, and where its responses go.

And the other way round: what a server has written into ours tells where it sees us.

RFC 3261 §18.2.1-18.2.2 and RFC 3581. Responses go to the address that the request came from and
nowhere else: `maddr` is ignored, and no name out of a Via is ever looked up, so that no sender can
point our responses at somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address

from dialin.wire.flow import DEFAULT_PORTS, Flow
from dialin.wire.header import Via, split_quoted
from dialin.wire.message import Headers, Request, Response


def mark_source(request: Request, flow: Flow) -> Request:
    """The request with `received` and `rport` as they are true; what the sender wrote there is not.

    Everything else stays as it came, since responses echo the Vias verbatim.
    """
    via = request.via
    asks_for_port = via.params.has("rport")
    if via.host == flow.host and not asks_for_port and not via.params.has("received"):
        return request
    true = {"received": flow.host}
    if asks_for_port:  # RFC 3581 §4: then `received` is due even where the host is right
        true["rport"] = str(flow.port)
    return replace(request, headers=_with_top_via(request.headers, true))


def seen_as(response: Response) -> tuple[str, int] | None:
    """Address and port that our request was seen to come from, None where that is not told.

    PEER-CONTROLLED: an address and a port, and nothing is known of whose.
    """
    via = response.via
    told = via.received or (via.host if via.rport else "")
    try:
        host = ip_address(told)
    except ValueError:
        return None
    port = via.rport or via.port or DEFAULT_PORTS.get(via.transport, 0)
    return (str(host), port) if port else None


def return_flow(request: Request, flow: Flow) -> Flow:
    """Where the responses to a request go that came by `flow`."""
    if flow.is_reliable:
        return flow  # RFC 3261 §18.2.2: the connection that the request came by
    via = request.via
    if via.params.has("rport"):
        return flow
    return replace(flow, port=via.port or DEFAULT_PORTS["UDP"])


def _with_top_via(headers: Headers, params: Mapping[str, str]) -> Headers:
    """The headers with these parameters in the topmost Via; all else stays as it is."""
    lines = list(headers.fields)
    first = next(at for at, (name, _) in enumerate(lines) if name.lower() in ("via", "v"))
    name, value = lines[first]
    top = split_quoted(value, ",")[0]
    lines[first] = (name, Via.rewritten(top, params) + value[len(top) :])
    return Headers(tuple(lines))
