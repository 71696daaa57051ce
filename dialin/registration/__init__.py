# SPDX-License-Identifier: GPL-3.0-or-later
"""Trunks that log in with their provider: one task each that keeps the provider knowing us.

`trunk` is that task; `servers` says which of the provider's servers is its turn, `way` keeps the
way to it open and finds out when it is not. What a REGISTER holds, and what its answer means, is
the business of `dialin.wire.registration`; names of `dialin.names`, sockets of `dialin.sip`.
"""

from dialin.registration.trunk import Provider, Standing, TrunkRegistration

__all__ = ["Provider", "Standing", "TrunkRegistration"]
