# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast path of a bridge: what may take it, for how long, and that both ends learn of it."""

from __future__ import annotations

import pytest

from dialin.media.lane import GRANT, MAX_STEP
from dialin.media.receiver import Receiver
from dialin.wire import rtp
from tests.media.world import FRAME_S, LegAtWork, World, follows


@pytest.fixture
def pair(world: World) -> tuple[LegAtWork, LegAtWork]:
    """Two bridged legs, the first of which has sent two packets."""
    one, other = world.leg(), world.leg()
    world.join(one, other)
    one.send()
    one.send()
    other.far.heard()
    return one, other


def lane(leg: LegAtWork) -> Receiver:
    return leg.world.leg_of(leg).receiver


def test_the_lane_opens_with_the_second_packet_of_a_stream(
    pair: tuple[LegAtWork, LegAtWork],
) -> None:
    one, _ = pair
    assert lane(one).left == GRANT
    one.send()
    assert lane(one).left == GRANT - 1


def test_after_its_grant_one_packet_goes_the_long_way(pair: tuple[LegAtWork, LegAtWork]) -> None:
    one, other = pair
    for _ in range(GRANT):
        one.send()
    assert lane(one).left == 0
    one.send()
    assert lane(one).left == GRANT
    assert follows(other.far.heard(at_least=GRANT + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"marker": True},
        {"skip": 1},
        {"step": 240},
        {"payload": bytes(80)},
        {"payload_type": 13},
        {"payload_type": 101, "payload": b"\x05\x0a\x00\xa0"},
    ],
)
def test_whatever_is_not_like_the_packet_before_goes_the_long_way(
    pair: tuple[LegAtWork, LegAtWork], change: dict[str, int]
) -> None:
    one, _ = pair
    one.send(**change)  # type: ignore[arg-type]  # by name
    assert lane(one).left in (0, GRANT)


def test_a_packet_of_another_ssrc_closes_the_lane_but_not_for_long(
    pair: tuple[LegAtWork, LegAtWork],
) -> None:
    one, _ = pair
    one.far.ssrc += 1
    one.send()
    one.far.ssrc -= 1
    one.far.sequence -= 1
    one.far.timestamp -= 160
    one.send()
    assert lane(one).left == GRANT


@pytest.mark.parametrize("step", [0, MAX_STEP + 1])
def test_a_clock_that_stands_still_or_leaps_does_not_open_the_lane(
    pair: tuple[LegAtWork, LegAtWork], step: int
) -> None:
    one, _ = pair
    one.send(step=step)
    assert lane(one).left == 0


def test_own_frames_of_the_sink_close_the_lane(pair: tuple[LegAtWork, LegAtWork]) -> None:
    one, _ = pair
    one.world.advance(3)
    assert lane(one).left == 0


def test_a_sink_that_learns_its_port_is_not_written_to_by_the_lane(world: World) -> None:
    one, other = world.leg(), world.leg()
    world.join(one, other)
    world.leg_of(other).sender.stream.turn(world.leg_of(other).pair.rtp.send, None)
    for _ in range(3):
        one.send()
    assert lane(one).left == 0
    assert len(other.far.heard(at_least=3)) >= 3


def test_the_grant_ends_before_a_number_of_the_sink_wraps(world: World) -> None:
    one, other = world.leg(), world.leg()
    world.join(one, other)
    sink = world.leg_of(other).sender.stream
    sink.sequence = 0xFFFF - 10
    one.send()
    one.send()
    assert lane(one).left == 8
    sink.timestamp = 0xFFFFFFFF - 3 * 160
    one.send(skip=1)
    one.send()
    assert lane(one).left <= 8


def test_a_sink_that_refuses_is_counted(pair: tuple[LegAtWork, LegAtWork]) -> None:
    one, other = pair
    other.far.rtp.close()
    for _ in range(20):
        one.send()
    assert other.statistics().refused >= 9
    assert lane(one).left > 0


def test_an_error_instead_of_a_packet_is_counted(pair: tuple[LegAtWork, LegAtWork]) -> None:
    one, _ = pair
    receiver = lane(one)
    receiver.on_readable(one.world.now)  # nothing there after all
    assert receiver.refused == 0
    one.far.rtp.close()
    one.world.leg_of(one).pair.rtp.send(
        rtp.pack(b"", payload_type=0, marker=False, sequence=0, timestamp=0, ssrc=0)
    )
    one.world.take()
    assert receiver.refused == 1


def test_reports_and_figures_are_up_to_date_while_the_lane_is_open(
    pair: tuple[LegAtWork, LegAtWork],
) -> None:
    one, other = pair
    before = one.statistics().packets_received, other.statistics().packets_sent
    for _ in range(10):
        one.send()
        one.world.advance(FRAME_S)
    assert lane(one).left == GRANT - 10
    after = one.statistics().packets_received, other.statistics().packets_sent
    assert (after[0] - before[0], after[1] - before[1]) == (10, 10)
