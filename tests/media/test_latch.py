# SPDX-License-Identifier: GPL-3.0-or-later
"""How a source's port is learnt: in order, one SSRC, one port, and not too early."""

from __future__ import annotations

from dialin.media.latch import MAX_CANDIDATES, RUN, SETTLE_S, SourceLearner
from dialin.wire.rtp import RtpHeader

SDP, TRANSLATED = 4000, 5000


def header(sequence: int, ssrc: int = 1) -> RtpHeader:
    return RtpHeader(0, False, sequence & 0xFFFF, 0, ssrc, 12, 160)


def run(
    learner: SourceLearner, port: int, now: float, first: int = 65_534, ssrc: int = 1
) -> list[int | None]:
    return [learner.hear(port, header(first + index, ssrc), now) for index in range(RUN)]


def test_before_the_start_nothing_is_learnt() -> None:
    assert run(SourceLearner(SDP), SDP, 9.0) == [None] * RUN


def test_sdps_port_is_certain_at_once_even_over_a_wrap() -> None:
    learner = SourceLearner(SDP)
    learner.start(1.0)
    assert run(learner, SDP, 1.0) == [None] * (RUN - 1) + [SDP]


def test_another_port_is_certain_only_after_a_while() -> None:
    learner = SourceLearner(SDP)
    learner.start(1.0)
    assert run(learner, TRANSLATED, 1.1) == [None] * RUN
    assert learner.hear(TRANSLATED, header(65_539), 1.0 + SETTLE_S) == TRANSLATED


def test_starting_twice_does_not_start_the_clock_again() -> None:
    learner = SourceLearner(SDP)
    learner.start(1.0)
    learner.start(5.0)
    assert run(learner, TRANSLATED, 1.5)[-1] == TRANSLATED


def test_two_ssrcs_of_one_port_are_two_sources() -> None:
    learner = SourceLearner(SDP)
    learner.start(1.0)
    run(learner, TRANSLATED, 1.1, ssrc=1)
    assert run(learner, TRANSLATED, 2.0, ssrc=2)[-1] is None


def test_small_loss_does_not_end_a_run_and_repeats_do() -> None:
    learner = SourceLearner(SDP)
    learner.start(1.0)
    answers = [learner.hear(SDP, header(3 * index), 1.0) for index in range(RUN)]
    assert answers[-1] == SDP
    assert all(learner.hear(SDP, header(1, ssrc=2), 1.0) is None for _ in range(20))


def test_a_sprayer_with_many_ssrcs_takes_no_memory() -> None:
    learner = SourceLearner(SDP)
    learner.start(1.0)
    for ssrc in range(1000):
        assert learner.hear(TRANSLATED, header(ssrc, ssrc), 2.0) is None
    assert len(learner._runs) == MAX_CANDIDATES
