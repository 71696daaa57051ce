# SPDX-License-Identifier: GPL-3.0-or-later
"""The timers of RFC 3261 table 4 and RFC 6026, by their letters, in seconds.

T1, T2 and T4 are set, the letters follow from them. Timer C is a proxy's and has no
place in a user agent. What each timer does is told where it is used: `client_transaction` (A, B,
D, E, F, K, M) and `server_transaction` (G, H, I, J, L).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timers:
    """How long transactions wait. The defaults are the RFC's."""

    t1_s: float = 0.5
    """T1: the round trip that is expected; the first wait before anything is repeated."""
    t2_s: float = 4.0
    """T2: the longest pause between repeats of a non-INVITE request or an INVITE response."""
    t4_s: float = 5.0
    """T4: the longest time that a message stays in the network."""
    trying_s: float = 0.2
    """How long a core may think about an INVITE before it is told 100 Trying (§17.2.1)."""

    @property
    def patience_s(self) -> float:
        """64*T1: how long a transaction waits for the other side before it gives up."""
        return 64 * self.t1_s

    @property
    def timer_a_s(self) -> float:
        """A: first repeat of an INVITE over UDP; doubles without a cap (RFC 3261 §17.1.1.2)."""
        return self.t1_s

    @property
    def timer_b_s(self) -> float:
        """B: an INVITE without any response has failed (§17.1.1.2)."""
        return self.patience_s

    def timer_d_s(self, *, is_reliable: bool) -> float:
        """D: how long repeats of a non-2xx final response are acknowledged (§17.1.1.2).

        "At least 32 s" over UDP, and as long as the far end's timer H: 64*T1 is both by default.
        """
        return 0.0 if is_reliable else self.patience_s

    @property
    def timer_e_s(self) -> float:
        """E: first repeat of a non-INVITE request over UDP; doubles up to T2 (§17.1.2.2)."""
        return self.t1_s

    @property
    def timer_f_s(self) -> float:
        """F: a non-INVITE request without a final response has failed (§17.1.2.2)."""
        return self.patience_s

    @property
    def timer_g_s(self) -> float:
        """G: first repeat of a non-2xx response to INVITE over UDP; doubles up to T2 (§17.2.1)."""
        return self.t1_s

    @property
    def timer_h_s(self) -> float:
        """H: a non-2xx response to INVITE without its ACK has failed (§17.2.1)."""
        return self.patience_s

    def timer_i_s(self, *, is_reliable: bool) -> float:
        """I: how long repeats of the ACK are absorbed (§17.2.1)."""
        return 0.0 if is_reliable else self.t4_s

    def timer_j_s(self, *, is_reliable: bool) -> float:
        """J: how long repeats of an answered non-INVITE request are answered again (§17.2.2)."""
        return 0.0 if is_reliable else self.patience_s

    def timer_k_s(self, *, is_reliable: bool) -> float:
        """K: how long repeats of a final response to non-INVITE are absorbed (§17.1.2.2)."""
        return 0.0 if is_reliable else self.t4_s

    @property
    def timer_l_s(self) -> float:
        """L: how long repeats of an accepted INVITE are absorbed, any transport (RFC 6026 §7.1)."""
        return self.patience_s

    @property
    def timer_m_s(self) -> float:
        """M: how long further 2xx to one INVITE reach the core, any transport (RFC 6026 §7.2)."""
        return self.patience_s
