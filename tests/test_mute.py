# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has muted a caller: our own wishes come back from BBB as echoes, a host's do not."""

import pytest

from dialin.mute import ECHO_WITHIN_S, MuteState


def test_a_host_who_mutes_is_news_once() -> None:
    state = MuteState()
    assert state.is_told(True, 1.0)
    assert (state.is_muted, state.is_held_by_bbb) == (True, True)
    assert not state.is_told(True, 2.0)
    assert state.is_told(False, 3.0)
    assert (state.is_muted, state.is_held_by_bbb) == (False, False)


def test_what_we_asked_of_bbb_is_no_news() -> None:
    state = MuteState()
    state.turn(True, 0.0, tells_bbb=True)
    assert state.is_held_by_bbb
    assert not state.is_told(True, 0.5)
    assert state.is_muted


def test_an_echo_that_comes_late_does_not_undo_a_newer_wish() -> None:
    state = MuteState()
    state.turn(True, 0.0, tells_bbb=True)
    state.turn(False, 0.2, tells_bbb=True)
    assert not state.is_told(True, 0.5)
    assert not state.is_muted
    assert not state.is_told(False, 0.6)
    assert not state.is_muted


def test_of_two_echoes_one_may_be_lost() -> None:
    state = MuteState()
    state.turn(True, 0.0, tells_bbb=True)
    state.turn(False, 0.2, tells_bbb=True)
    assert not state.is_told(False, 0.6)
    assert state.is_told(True, 0.7)  # that is no echo any more


def test_an_echo_is_not_waited_for_for_ever() -> None:
    state = MuteState()
    state.turn(True, 0.0, tells_bbb=True)
    state.turn(False, 1.0, tells_bbb=True)
    assert state.is_told(True, 1.0 + ECHO_WITHIN_S)


@pytest.mark.parametrize("muted", [True, False])
def test_where_bbb_is_not_asked_there_is_no_echo(muted: bool) -> None:
    state = MuteState()
    state.turn(not muted, 0.0, tells_bbb=False)
    assert not state.is_held_by_bbb
    assert state.is_told(muted, 0.1)
    assert state.is_muted is muted


def test_a_host_who_mutes_somebody_muted_already_holds_them() -> None:
    state = MuteState()
    state.turn(True, 0.0, tells_bbb=False)
    assert not state.is_told(True, 1.0)
    assert state.is_held_by_bbb


def test_a_new_seat_is_open_in_bbb_and_has_no_echoes() -> None:
    state = MuteState()
    state.turn(True, 0.0, tells_bbb=True)
    state.sits_down()
    assert (state.is_muted, state.is_held_by_bbb) == (True, False)
    assert not state.is_told(True, 0.5)
    assert state.is_held_by_bbb
