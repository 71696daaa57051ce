# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in BBB's meetings, brought to the callers whom it concerns.

BBB knows a caller by a user id of its own; a call knows the label that it gave. The two are brought
together by who joins under the label, and by the lists of attendees that `rooms` asks for, because
most releases do not name a phone in a webhook. What happens to a phone before that is kept for it.

Where the events come from is left to `web.hooks`, what they do to the picture of all rooms to
`rooms`, what a caller hears of them to `call`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dialin.wire.bbbhooks import HookEvent, HookKind
from dialin.wire.bbbxml import Meeting

EVENTS_KEPT = 32
"""For one caller who does not look; the oldest are lost first."""
UNKNOWN_KEPT = 8
"""Of one phone that nobody has named yet."""
UNKNOWN_USERS_KEPT = 2048
"""Such phones in one meeting."""
TOLD_KEPT = 4096
"""Meetings of one server; more than one server has in a day or two."""
WEB_USER = "w_"
"""How BBB's ids of web users begin: none of them is a caller, whatever name it took."""
PHONE_USER = "v_"
"""How BBB's ids of phone users begin; the number after it is FreeSWITCH's member id."""

_OF_ALL = frozenset(
    {HookKind.MEETING_ENDED, HookKind.RECORDING_STARTED, HookKind.RECORDING_STOPPED}
)
_OF_ONE = frozenset(HookKind) - _OF_ALL - {HookKind.MEETING_CREATED}
_CONTRARY = (
    frozenset({HookKind.RECORDING_STARTED, HookKind.RECORDING_STOPPED}),
    frozenset({HookKind.USER_JOINED, HookKind.USER_LEFT}),
    frozenset({HookKind.VOICE_JOINED, HookKind.VOICE_LEFT}),
    frozenset({HookKind.USER_MUTED, HookKind.USER_UNMUTED}),
    frozenset({HookKind.HAND_RAISED, HookKind.HAND_LOWERED}),
    frozenset({HookKind.MEETING_ENDED}),
)
"""What undoes each other, so that the later one counts: callbacks are repeated and overtake."""


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """One thing that happened to a caller, or to the caller's whole meeting."""

    kind: HookKind
    """MEETING_ENDED or RECORDING_… for the meeting; for the caller USER_…, VOICE_… and HAND_…."""
    at_ms: int = 0
    """When, by BBB's clock, milliseconds since 1970; 0 if it does not say."""


class RoomEvents:
    """The events of all BBB servers' meetings."""

    def __init__(self) -> None:
        self._ears: dict[str, _Ear] = {}
        self._listeners: dict[tuple[str, str], _Listeners] = {}

    # Callers

    @contextmanager
    def of_caller(
        self, server: str, meeting_id: str, label: str
    ) -> Iterator[asyncio.Queue[RoomEvent]]:
        """What concerns the caller who has this label in this meeting, while the block lasts.

        To be entered before each seat is taken, anew for every seat: BBB gives each another id.
        """
        key = server, meeting_id
        listener = _Listener(label)
        listeners = self._listeners.setdefault(key, _Listeners())
        listeners.add(listener)
        try:
            yield listener.queue
        finally:
            listeners.remove(listener)
            if not listeners:
                del self._listeners[key]

    # What is learnt

    def publish(self, event: HookEvent) -> bool:
        """Something happened; callers whom it concerns learn of it.

        Whether it may concern one whom BBB has not named yet, so that the server should be asked.
        """
        ear = self._ear(event.server)
        ear.hears(event.internal_id)
        meeting_id = event.meeting_id or ear.meeting_ids.get(event.internal_id, "")
        listeners = self._listeners.get((event.server, meeting_id))
        return listeners.take(event) if listeners else False

    def saw(self, server: str, meetings: Sequence[Meeting]) -> None:
        """Who is in which meeting, as the server itself lists it."""
        self._ear(server).sees({meeting.internal_id: meeting.meeting_id for meeting in meetings})
        for meeting in meetings:
            listeners = self._listeners.get((server, meeting.meeting_id))
            if listeners:
                listeners.identify(
                    (one.full_name, phone_id(one.user_id)) for one in meeting.attendees
                )

    # Whether webhooks work

    def set_registered(self, server: str, is_registered: bool) -> None:
        """Whether the server says that it will call us back."""
        self._ear(server).is_registered = is_registered

    def is_registered(self, server: str) -> bool:
        """Whether the server says that it will call us back."""
        return self._ear(server).is_registered

    def is_heard(self, server: str) -> bool:
        """Whether webhooks from the server work: it will call us back, and it has."""
        ear = self._ear(server)
        return ear.is_registered and ear.is_heard

    async def missed(self, server: str) -> None:
        """Wait until something happens on the server that no webhook tells of, or has since the
        last time."""
        missed = self._ear(server).missed
        await missed.wait()
        missed.clear()

    def _ear(self, server: str) -> _Ear:
        return self._ears.setdefault(server, _Ear())


class _Ear:
    """Whether a server's webhooks come, by comparing them with what the server lists."""

    def __init__(self) -> None:
        self.is_registered = False
        self.is_heard = False
        self.missed = asyncio.Event()
        self.meeting_ids: Mapping[str, str] = {}
        """The front ends' ids of all meetings, by BBB's; bbb-webhooks forgets them at times."""
        self._listed: frozenset[str] | None = None
        self._told: dict[str, None] = {}
        """Meetings that some webhook has spoken of, oldest first."""
        self._untold: frozenset[str] = frozenset()
        """Meetings that were new in the list before this one, and that none has spoken of."""

    def hears(self, internal_id: str) -> None:
        self.is_heard = True
        self._told.pop(internal_id, None)
        self._told[internal_id] = None
        if len(self._told) > TOLD_KEPT:
            del self._told[next(iter(self._told))]

    def sees(self, meeting_ids: Mapping[str, str]) -> None:
        now = frozenset(meeting_ids)
        if self._untold & now - self._told.keys():
            self.is_heard = False
            self.missed.set()
        self._untold = frozenset() if self._listed is None else now - self._listed
        self._listed = now
        self.meeting_ids = meeting_ids


class _Listener:
    """One caller's seat."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.user_id = ""
        self.queue: asyncio.Queue[RoomEvent] = asyncio.Queue(EVENTS_KEPT)
        self._latest: dict[frozenset[HookKind], tuple[int, HookKind]] = {}

    def take(self, event: HookEvent) -> None:
        """Queue an event, unless it is a repeat or a later one has overtaken it."""
        group = next(group for group in _CONTRARY if event.kind in group)
        before = self._latest.get(group)
        if event.timestamp_ms and before:
            at_ms, kind = before
            if event.timestamp_ms < at_ms or (event.timestamp_ms, event.kind) == (at_ms, kind):
                return
        self._latest[group] = event.timestamp_ms, event.kind
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(RoomEvent(event.kind, event.timestamp_ms))


class _Listeners:
    """All callers of one meeting; there may be a thousand, so nothing looks at each of them."""

    def __init__(self) -> None:
        self._by_label: defaultdict[str, list[_Listener]] = defaultdict(list)
        self._by_user_id: dict[str, _Listener] = {}
        self._unknown: OrderedDict[str, deque[HookEvent]] = OrderedDict()
        """What has happened to phones that nobody has named yet, by their ids."""

    def __bool__(self) -> bool:
        return bool(self._by_label)

    def add(self, listener: _Listener) -> None:
        self._by_label[listener.label].append(listener)

    def remove(self, listener: _Listener) -> None:
        namesakes = self._by_label[listener.label]
        namesakes.remove(listener)
        if not namesakes:
            del self._by_label[listener.label]
        if self._by_user_id.get(listener.user_id) is listener:
            del self._by_user_id[listener.user_id]

    def take(self, event: HookEvent) -> bool:
        """Bring an event to whom it concerns; whether that may be one who is not known yet."""
        if event.kind in _OF_ALL:
            for namesakes in self._by_label.values():
                for listener in namesakes:
                    listener.take(event)
            return False
        if event.kind not in _OF_ONE or not event.user_id or event.user_id.startswith(WEB_USER):
            return False
        if event.kind is HookKind.USER_JOINED:
            self._recognise(event.user_name, event.user_id, is_sure=False)
        if known := self._by_user_id.get(event.user_id):
            known.take(event)
            return False
        self._keep(event)
        return any(not one.user_id for namesakes in self._by_label.values() for one in namesakes)

    def identify(self, attendees: Iterable[tuple[str, str]]) -> None:
        """Learn ids from a list of names and ids; two of one name are nobody's to choose from."""
        found: dict[str, str] = {}
        for name, user_id in attendees:
            if name in self._by_label and not user_id.startswith(WEB_USER):
                found[name] = "" if name in found else user_id
        for name, user_id in found.items():
            self._recognise(name, user_id, is_sure=True)

    def _recognise(self, label: str, user_id: str, *, is_sure: bool) -> None:
        """Give the one caller with this label an id; a surer one comes in place of another."""
        namesakes = self._by_label.get(label, ())
        if len(namesakes) != 1 or not user_id:
            return
        (listener,) = namesakes
        if listener.user_id == user_id or (listener.user_id and not is_sure):
            return
        self._by_user_id.pop(listener.user_id, None)
        listener.user_id = user_id
        self._by_user_id[user_id] = listener
        for event in self._unknown.pop(user_id, ()):
            listener.take(event)

    def _keep(self, event: HookEvent) -> None:
        self._unknown.setdefault(event.user_id, deque(maxlen=UNKNOWN_KEPT)).append(event)
        if len(self._unknown) > UNKNOWN_USERS_KEPT:
            self._unknown.popitem(last=False)


def phone_id(user_id: str) -> str:
    """A user's id in the form of webhooks: some releases list a phone by its bare member id."""
    return PHONE_USER + user_id if user_id.isdecimal() else user_id
