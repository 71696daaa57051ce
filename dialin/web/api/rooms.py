# SPDX-License-Identifier: GPL-3.0-or-later
"""`/api/v1/rooms`: PINs that stay, numbers and links, for front ends that show or send them.

A room is there if it has a PIN of its own, or if a meeting of that id runs. Issuing PINs is left to
`static_rooms`, pages and invitations to the room page.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal, Protocol
from urllib.parse import quote

from pydantic import Field

from dialin.errors import DialinError
from dialin.links import LinkKey, Right
from dialin.static_rooms import (
    BadRoom,
    PinTaken,
    RoomExists,
    StaticRoom,
    StaticRoomError,
    StoreUnavailable,
    UnknownRoom,
)
from dialin.web.api.calls import LiveCalls
from dialin.web.api.operation import WHOLE, Asked, Given, MeetingId, Operation, Refusal, Shape
from dialin.web.api.tokens import Scope
from dialin.web.numbers import DialNumber, create_parameters
from dialin.web.room_view import RoomFacts, RoomFinder, callers_of

ROOMS, EACH = "/api/v1/rooms", "/api/v1/rooms/{meeting_id}"
ABSENT, CLASH = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
NO_SUCH_ROOM = "There is no such room: it has no PIN of its own, and no meeting of that id runs."

REFUSALS: Mapping[type[DialinError], tuple[HTTPStatus, str]] = {
    UnknownRoom: (HTTPStatus.NOT_FOUND, "The room has no PIN of its own. Create it first."),
    RoomExists: (HTTPStatus.CONFLICT, "The room has a PIN already. Change it, or rotate the PIN."),
    PinTaken: (
        HTTPStatus.CONFLICT,
        "Another room has this PIN, or one that begins so. Leave pin out to get one issued.",
    ),
    BadRoom: (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Such a meeting id, name or PIN cannot be used: no control characters, 256 characters at "
        "most, and no PIN that BigBlueButton keeps for itself.",
    ),
    StoreUnavailable: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "PINs cannot be stored now. Try again; the operator's log tells why.",
    ),
    StaticRoomError: (HTTPStatus.CONFLICT, "The room cannot be changed so."),
}
"""What goes wrong with the book, and what a client is told; the first that fits counts."""

Name = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")]
Pin = Annotated[str, Field(pattern=r"^[0-9]{5,11}$")]

Days = Annotated[int, Field(ge=1, le=3650), WHOLE]


class RoomBook(Protocol):
    """Where rooms with PINs of their own are kept."""

    def all(self) -> Sequence[StaticRoom]:
        """All of them."""

    async def create(
        self, meeting_id: str, *, name: str = "", lobby: bool = False, pin: str | None = None
    ) -> object:
        """Issue a PIN, or take the one given."""

    async def change(
        self, meeting_id: str, *, name: str | None = None, lobby: bool | None = None
    ) -> object:
        """Change what is said of a room."""

    async def rotate(self, meeting_id: str) -> object:
        """Issue another PIN; the one before leads nowhere."""

    async def delete(self, meeting_id: str) -> None:
        """Forget the room and its PIN."""


class NumberShown(Shape):
    """A number to call."""

    e164: str
    country: str
    """Two letters; empty for none."""
    label: str
    language: str | None
    """What callers are greeted in; null for the service's own choice."""
    languages: list[str]
    toll_free: bool


class CallersShown(Shape):
    """How many call."""

    in_room: int
    waiting: int


class LinksShown(Shape):
    """Signed addresses, to hand on to those who are invited."""

    page: str
    invite_txt: str
    invite_ics: str
    qr_svg: str
    sheet: str


class RoomShown(Shape):
    """A room."""

    meeting_id: str
    name: str
    """As the host wrote it: treat it as text."""
    pin: str | None
    """What callers key; null while there is none."""
    pin_stays: bool
    """Whether it is the room's own, and not that of one session."""
    lobby: bool
    numbers: list[NumberShown]
    create_parameters: dict[str, str]
    """What to give BigBlueButton's create call, so that it shows this number and PIN: `dialNumber`,
    and `voiceBridge` if the PIN stays."""
    state: Literal["running", "known"]
    callers: CallersShown
    links: LinksShown | None
    """Null where the settings have no link_secret."""


class RoomTaken(Shape):
    """A room that is to have a PIN of its own."""

    meeting_id: MeetingId
    name: Name = ""
    lobby: bool = False
    pin: Pin | None = None
    """Unset: one is issued."""


class RoomChange(Shape):
    """What is to change; what is not named stays."""

    name: Name | None = None
    lobby: bool | None = None


class LinksTaken(Shape):
    """Which links are wanted."""

    right: Right = Right.GUEST
    days: Days | None = None
    """How long they work. Unset: as the settings say."""


@dataclass(frozen=True, slots=True)
class RoomsDesk:
    """What rooms are known by, and shown with."""

    finder: RoomFinder
    book: RoomBook
    calls: LiveCalls
    numbers: Callable[[], Sequence[DialNumber]]
    key: LinkKey | None
    """What links are signed with; None for no links."""
    root: str
    """What the address of each public page begins with."""
    link_days: int
    now: Callable[[], float] = time.time

    def shown(self, meeting_id: str) -> RoomShown:
        """A room as the API has it. Raises Refusal."""
        facts = self.finder.find(meeting_id)
        if facts is None:
            raise Refusal(HTTPStatus.NOT_FOUND, NO_SUCH_ROOM)
        return self._shown(facts)

    def links(self, meeting_id: str, right: Right, days: int | None = None) -> LinksShown | None:
        """Signed addresses of a room's pages; None where nothing can be signed."""
        if self.key is None:
            return None
        link = self.key.lasting(meeting_id, right, days or self.link_days, self.now())
        return LinksShown(
            page=self.root + link.path(),
            invite_txt=self.root + link.path("invite.txt"),
            invite_ics=self.root + link.path("invite.ics"),
            qr_svg=self.root + link.path("qr.svg"),
            sheet=self.root + link.path("sheet"),
        )

    def _shown(self, facts: RoomFacts) -> RoomShown:
        callers = callers_of(self.calls.snapshots(), facts.meeting_id)
        numbers = self.numbers()
        return RoomShown(
            meeting_id=facts.meeting_id,
            name=facts.name,
            pin=facts.pin or None,
            pin_stays=facts.pin_stays,
            lobby=facts.lobby,
            numbers=[number_shown(number) for number in numbers],
            create_parameters=create_parameters(facts.pin if facts.pin_stays else "", numbers),
            state="running" if facts.running else "known",
            callers=CallersShown(in_room=len(callers.in_room), waiting=len(callers.waiting)),
            links=self.links(facts.meeting_id, Right.GUEST),
        )

    async def list_rooms(self, asked: Asked) -> list[RoomShown]:
        """All rooms with PINs of their own."""
        return [self.shown(room.meeting_id) for room in self.book.all()]

    async def show_room(self, asked: Asked) -> RoomShown:
        """One room."""
        return self.shown(asked.path["meeting_id"])

    async def create_room(self, asked: Asked) -> Given:
        """A PIN of its own for a room."""
        wanted: RoomTaken = asked.body
        await self._kept(
            self.book.create(
                wanted.meeting_id, name=wanted.name, lobby=wanted.lobby, pin=wanted.pin
            )
        )
        where = f"/api/v1/rooms/{quote(wanted.meeting_id, safe='')}"
        return Given(self.shown(wanted.meeting_id), {"Location": where})

    async def change_room(self, asked: Asked) -> RoomShown:
        """Another name, or another way in."""
        meeting_id, wanted = asked.path["meeting_id"], asked.body
        await self._kept(self.book.change(meeting_id, name=wanted.name, lobby=wanted.lobby))
        return self.shown(meeting_id)

    async def rotate_pin(self, asked: Asked) -> RoomShown:
        """Another PIN."""
        await self._kept(self.book.rotate(asked.path["meeting_id"]))
        return self.shown(asked.path["meeting_id"])

    async def delete_room(self, asked: Asked) -> None:
        """No PIN of its own any more."""
        await self._kept(self.book.delete(asked.path["meeting_id"]))

    async def make_links(self, asked: Asked) -> LinksShown:
        """Links to hand on."""
        meeting_id = asked.path["meeting_id"]
        self.shown(meeting_id)  # whether it is there
        links = self.links(meeting_id, asked.body.right, asked.body.days)
        if links is None:
            raise Refusal(
                HTTPStatus.CONFLICT, "Links cannot be signed. Set web.link_secret in the settings."
            )
        return links

    async def _kept(self, work: Awaitable[object]) -> None:
        """Let the book do something. Raises Refusal."""
        try:
            await work
        except (StaticRoomError, StoreUnavailable) as error:
            status, detail = next(
                told for kind, told in REFUSALS.items() if isinstance(error, kind)
            )
            raise Refusal(status, detail) from error


def room_operations(desk: RoomsDesk) -> tuple[Operation, ...]:
    """Everything below `/api/v1/rooms`."""
    return (*_of_all(desk), *_of_one(desk), *_of_its_pin(desk))


def _of_all(desk: RoomsDesk) -> tuple[Operation, ...]:
    return (
        Operation(
            "GET",
            ROOMS,
            "listRooms",
            "All rooms that have a PIN of their own.",
            Scope.ROOMS,
            desk.list_rooms,
            gives=list[RoomShown],
        ),
        Operation(
            "POST",
            ROOMS,
            "createRoom",
            "Give a room a PIN that stays, weeks before its first meeting.",
            Scope.ROOMS,
            desk.create_room,
            takes=RoomTaken,
            gives=RoomShown,
            status=HTTPStatus.CREATED,
            refuses=(CLASH,),
        ),
    )


def _of_one(desk: RoomsDesk) -> tuple[Operation, ...]:
    return (
        Operation(
            "GET",
            EACH,
            "showRoom",
            "A room with its PIN, numbers and links.",
            Scope.ROOMS,
            desk.show_room,
            gives=RoomShown,
            refuses=(ABSENT,),
        ),
        Operation(
            "PATCH",
            EACH,
            "changeRoom",
            "Change the name, or whether a host lets callers in.",
            Scope.ROOMS,
            desk.change_room,
            takes=RoomChange,
            gives=RoomShown,
            refuses=(ABSENT,),
        ),
        Operation(
            "DELETE",
            EACH,
            "deleteRoom",
            "Forget the room and its PIN; calls that are in it go on.",
            Scope.ROOMS,
            desk.delete_room,
            status=HTTPStatus.NO_CONTENT,
            refuses=(ABSENT,),
        ),
    )


def _of_its_pin(desk: RoomsDesk) -> tuple[Operation, ...]:
    return (
        Operation(
            "POST",
            f"{EACH}/pin",
            "rotatePin",
            "Issue another PIN; the one before leads nowhere from now on.",
            Scope.ROOMS,
            desk.rotate_pin,
            gives=RoomShown,
            refuses=(ABSENT,),
        ),
        Operation(
            "POST",
            f"{EACH}/links",
            "makeLinks",
            "Signed links to the room's pages, for guests or for hosts.",
            Scope.ROOMS,
            desk.make_links,
            takes=LinksTaken,
            gives=LinksShown,
            refuses=(ABSENT, CLASH),
        ),
    )


def number_shown(number: DialNumber) -> NumberShown:
    """A number as the API has it."""
    return NumberShown(
        e164=number.e164,
        country=number.region,
        label=number.label,
        language=number.languages[0] if number.languages else None,
        languages=list(number.languages),
        toll_free=number.toll_free,
    )
