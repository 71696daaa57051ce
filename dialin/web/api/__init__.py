# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP API of operators and front ends, below `/api/v1`, behind bearer tokens (RFC 6750).

Each thing that can be asked is one `Operation`: routes, checks and the OpenAPI document are made of
the same list, so they cannot disagree. Without a token in the settings there is no API. Nothing
here knows a phone number.
"""

from dialin.web.api.calls import LiveCalls, call_operations
from dialin.web.api.openapi import openapi_page
from dialin.web.api.operation import Operation, add_operations
from dialin.web.api.posts import Posted, PostedEvent
from dialin.web.api.rooms import RoomsDesk, room_operations
from dialin.web.api.state import StateDesk, state_operations
from dialin.web.api.tokens import Scope, Token, Tokens, guard

__all__ = [
    "LiveCalls",
    "Operation",
    "Posted",
    "PostedEvent",
    "RoomsDesk",
    "Scope",
    "StateDesk",
    "Token",
    "Tokens",
    "add_operations",
    "call_operations",
    "guard",
    "openapi_page",
    "room_operations",
    "state_operations",
]
