# SPDX-License-Identifier: GPL-3.0-or-later
"""Trunks that log in with their provider: one task each that keeps the provider knowing us.

`trunk` is that task, `together` all of them; `servers` says which of the provider's servers has
its turn, `way` keeps the way to it open and finds out when it is not. What a REGISTER holds, and
what its answer means, is left to `dialin.wire.registration`, names to `dialin.names`, sockets to
`dialin.sip`.
"""

from dialin.registration.together import Registrations
from dialin.registration.trunk import Provider, Standing, TrunkRegistration

__all__ = ["Provider", "Registrations", "Standing", "TrunkRegistration"]
