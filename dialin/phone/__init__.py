# SPDX-License-Identifier: GPL-3.0-or-later
"""The test phone: calls the bridge on loopback as a caller would, keys, listens, talks, hangs up.

It stands on pyVoIP, a SIP stack that shares no line with ours, so that what it hears proves more
than a twin could. `place_call` is all there is to it: it blocks until the call is over, so an event
loop runs it in a thread (`asyncio.to_thread`). How pyVoIP is kept in bounds is in `stack`, what is
heard in `heard`, what is said in `voice`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event

from dialin.errors import OperatorError
from dialin.phone import stack
from dialin.phone.heard import Recording, TimeLine
from dialin.phone.voice import RATE_HZ, keyed, silence, tone

__all__ = ["CallReport", "HungUpBy", "Recording", "Step", "place_call"]

TICK_S = 0.05
"""How soon a sound, the end of keying or a wish to hang up is noticed."""
BYE_ANSWER_S = 1.0
"""How long to wait until our BYE is answered; on loopback nothing is lost."""
LONGEST_S = 20 * 60
"""pyVoIP's sequence numbers overflow after 21 minutes."""


class Step(StrEnum):
    """What has just happened in the call."""

    DIALLING = "dialling"
    NO_ANSWER = "no-answer"
    REFUSED = "refused"
    ANSWERED = "answered"
    SOUND_HEARD = "sound-heard"
    KEYED = "keyed"
    TALKING = "talking"
    HUNG_UP = "hung-up"
    PEER_HUNG_UP = "peer-hung-up"


class HungUpBy(StrEnum):
    """Who ended the call."""

    US = "us"
    PEER = "peer"
    NOBODY = "nobody"
    """It was never answered."""


@dataclass(frozen=True, slots=True)
class CallReport:
    """One call, when it is over. Times in the call are seconds after the answer."""

    answered_after_s: float | None
    """From the INVITE to its 200; None: not answered."""
    refused_with: int | None
    """The final SIP status of a refused call."""
    hung_up_by: HungUpBy
    """Who ended it."""
    keyed_at_s: float | None
    """When the last key had been sent; None: nothing was keyed, or the call ended before."""
    lasted_s: float
    """From the answer to the end."""
    steps: tuple[Step, ...]
    """What happened, in order."""
    heard: Recording
    """What the caller heard."""


@dataclass(frozen=True, slots=True)
class _Script:
    """What the caller does once the call is up."""

    said: bytes = field(repr=False)
    """Everything that is said from the answer on: silence, keys, talk tone."""
    keyed_at_s: float | None
    """When the keys in it are over."""
    talks: bool
    """Whether a talk tone follows."""
    ends_at_s: float
    """When to hang up."""
    hang_up: Event
    """Set from outside to hang up earlier."""


def place_call(
    target_host: str,
    target_port: int,
    user: str,
    *,
    own_host: str = "127.0.0.1",
    caller: str = "anonymous",
    keys: str = "",
    keys_after_s: float = 1.0,
    listen_s: float = 5.0,
    talk_tone_hz: float | None = None,
    record: Path | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    answer_within_s: float = 10.0,
    hang_up: Event | None = None,
) -> CallReport:
    """Call `user` at the bridge, from the number `caller`, and report what happened.

    `keys` are sent as tones in the voice, `keys_after_s` after the answer; a comma in them pauses
    for 2 s. The call goes on for `listen_s` more, with a tone of `talk_tone_hz` if given, until the
    bridge hangs up or `hang_up` is set. `record` keeps what was heard as a WAV file. `on_step` is
    called in the thread that called.

    Raises ValueError for a script that cannot be followed, OperatorError for an address or a file
    that cannot be used; whatever the bridge does is told by the report.
    """
    script = _script(keys, keys_after_s, listen_s, talk_tone_hz, hang_up or Event())
    phone = stack.Phone((target_host, target_port), caller, own_host)
    conversation = _Conversation(phone, script, on_step)
    try:
        conversation.run(user, answer_within_s)
    finally:
        phone.stop()
    report = conversation.report(phone.heard)
    if record is not None:
        _keep(report.heard, record)
    return report


def _script(
    keys: str, keys_after_s: float, listen_s: float, talk_tone_hz: float | None, hang_up: Event
) -> _Script:
    sound = keyed(keys)
    keyed_at_s = keys_after_s + len(sound) / RATE_HZ if keys else 0.0
    ends_at_s = keyed_at_s + listen_s
    if ends_at_s > LONGEST_S:
        raise ValueError(f"a call of the test phone lasts {LONGEST_S} s at most")
    said = silence(keys_after_s) + sound if keys else b""
    if talk_tone_hz is not None:
        said += tone(talk_tone_hz, duration_s=listen_s)
    return _Script(said, keyed_at_s if keys else None, talk_tone_hz is not None, ends_at_s, hang_up)


def _keep(heard: Recording, path: Path) -> None:
    try:
        heard.write(path)
    except OSError as error:
        raise OperatorError(
            f"The recording {path} cannot be written: {error.strerror}.", "Name another file."
        ) from None


class _Conversation:
    """One call from dialling to the end, step by step."""

    def __init__(
        self, phone: stack.Phone, script: _Script, on_step: Callable[[Step], None]
    ) -> None:
        self._phone, self._script, self._on_step = phone, script, on_step
        self._steps: list[Step] = []
        self._answered_after_s: float | None = None
        self._refused_with: int | None = None
        self._hung_up_by = HungUpBy.NOBODY
        self._lasted_s = 0.0

    def run(self, user: str, answer_within_s: float) -> None:
        dialled = time.monotonic()
        self._tell(Step.DIALLING)
        call = self._phone.call(user)
        match self._phone.next_news(answer_within_s):
            case stack.Answered():
                self._answered_after_s = self._phone.answered_at - dialled
                self._tell(Step.ANSWERED)
                self._talk(call)
            case stack.Refused(status):
                self._refused_with = status
                self._tell(Step.REFUSED)
            case _:
                self._tell(Step.NO_ANSWER)

    def report(self, heard: TimeLine) -> CallReport:
        return CallReport(
            answered_after_s=self._answered_after_s,
            refused_with=self._refused_with,
            hung_up_by=self._hung_up_by,
            keyed_at_s=self._script.keyed_at_s if Step.KEYED in self._steps else None,
            lasted_s=self._lasted_s,
            steps=tuple(self._steps),
            heard=heard.recording(),
        )

    def _talk(self, call: stack.Call) -> None:
        """Say the script and listen until somebody hangs up."""
        if self._script.said:
            call.write_audio(self._script.said)
        while (now_s := self._since_answer()) < self._script.ends_at_s:
            self._notice(now_s)
            news = self._phone.next_news(min(TICK_S, self._script.ends_at_s - now_s))
            if isinstance(news, stack.PeerHungUp) or self._script.hang_up.is_set():
                break
        self._notice(self._since_answer())
        if call.hang_up():
            self._end(HungUpBy.US, Step.HUNG_UP)
            self._phone.next_news(BYE_ANSWER_S)
        else:
            self._end(HungUpBy.PEER, Step.PEER_HUNG_UP)

    def _notice(self, now_s: float) -> None:
        """Tell the steps that have been reached meanwhile."""
        if self._phone.heard.first_sound_s is not None:
            self._tell_once(Step.SOUND_HEARD)
        if self._script.keyed_at_s is not None and now_s >= self._script.keyed_at_s:
            self._tell_once(Step.KEYED)
        if self._script.talks and now_s >= (self._script.keyed_at_s or 0.0):
            self._tell_once(Step.TALKING)

    def _end(self, by: HungUpBy, step: Step) -> None:
        self._hung_up_by, self._lasted_s = by, self._since_answer()
        self._tell(step)

    def _since_answer(self) -> float:
        return time.monotonic() - self._phone.answered_at

    def _tell_once(self, step: Step) -> None:
        if step not in self._steps:
            self._tell(step)

    def _tell(self, step: Step) -> None:
        self._steps.append(step)
        self._on_step(step)
