# SPDX-License-Identifier: GPL-3.0-or-later
"""Links to room pages: what front ends make is read, and nothing else is."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.links import LinkKey, Right, RoomLink

RECIPE = Path(__file__).parents[1] / "docs" / "room-page.md"
SECRET = "link-canary-3Hq8Zt1Wn6Ys"
KEY = LinkKey(SECRET)
EXPIRES = 1_800_000_000
NOW = EXPIRES - 1.0
ROOM = "random-1234"
VECTOR = (
    "/rooms/M%C3%BCller%20%26%2F1?right=host&expires=1800000000"
    "&signature=290190a2177f038b89dc5cd41c0a3a6935e6428baada6ad69fa3e01f3f22d44c"
)
"""The example in the documentation; made by openssl as well."""


def query_of(link: RoomLink) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link.path()).query))


def test_a_link_is_read_until_it_expires() -> None:
    link = KEY.link(ROOM, Right.GUEST, EXPIRES)

    assert KEY.read(ROOM, query_of(link), NOW) == link
    assert KEY.read(ROOM, query_of(link), EXPIRES) is None
    assert KEY.read(ROOM, query_of(link), EXPIRES + 1e9) is None


def test_the_signature_is_the_hmac_of_three_lines() -> None:
    signed = hmac.digest(SECRET.encode(), f"host\n{EXPIRES}\n{ROOM}".encode(), hashlib.sha256)

    assert KEY.link(ROOM, Right.HOST, EXPIRES).signature == signed.hex()


@pytest.mark.parametrize(
    "change",
    [
        {"right": "host"},
        {"right": "form"},
        {"right": "GUEST"},
        {"right": ""},
        {"expires": str(EXPIRES + 1)},
        {"expires": f"0{EXPIRES}"},
        {"expires": f"{EXPIRES} "},
        {"expires": f"+{EXPIRES}"},
        {"expires": "٣" * 10},
        {"expires": ""},
        {"signature": "0" * 64},
        {"signature": ""},
        {"signature": "ü" * 64},
        {"signature": "\udcff"},
    ],
)
def test_an_altered_link_is_none(change: dict[str, str]) -> None:
    link = query_of(KEY.link(ROOM, Right.GUEST, EXPIRES))

    assert KEY.read(ROOM, {**link, **change}, NOW) is None


def test_a_link_is_for_one_room_and_one_secret() -> None:
    link = query_of(KEY.link(ROOM, Right.HOST, EXPIRES))

    assert KEY.read(f"{ROOM}x", link, NOW) is None
    assert KEY.read("", link, NOW) is None
    assert LinkKey(f"{SECRET}x").read(ROOM, link, NOW) is None
    assert KEY.read(ROOM, {}, NOW) is None


def test_no_second_reading_of_the_lines_gives_another_room() -> None:
    link = KEY.link(f"1\n{ROOM}", Right.HOST, EXPIRES)
    other = {"right": "host", "expires": f"{EXPIRES}\n1", "signature": link.signature}

    assert KEY.read(ROOM, other, NOW) is None


def test_a_signature_in_capitals_is_none() -> None:
    link = query_of(KEY.link(ROOM, Right.GUEST, EXPIRES))

    assert KEY.read(ROOM, {**link, "signature": link["signature"].upper()}, NOW) is None


def test_a_guest_link_can_be_made_of_a_host_link_and_acts_on_nothing() -> None:
    host = KEY.link(ROOM, Right.HOST, EXPIRES)
    guest = KEY.guest(host)

    assert (guest.right, guest.expires, guest.meeting_id) == (Right.GUEST, EXPIRES, ROOM)
    assert KEY.form_token(guest) != KEY.form_token(host)


def test_a_forms_token_is_bound_to_room_right_and_expiry() -> None:
    host = KEY.link(ROOM, Right.HOST, EXPIRES)
    token = KEY.form_token(host)

    assert KEY.is_form_token(host, token)
    for other in (
        KEY.guest(host),
        KEY.link(ROOM, Right.HOST, EXPIRES + 1),
        KEY.link("other", Right.HOST, EXPIRES),
    ):
        assert not KEY.is_form_token(other, token)
    assert not KEY.is_form_token(host, host.signature)
    assert not KEY.is_form_token(host, "\udcff")


def test_no_repr_shows_what_opens_a_door() -> None:
    link = KEY.link(ROOM, Right.HOST, EXPIRES)

    assert link.signature not in repr(link)
    assert SECRET not in repr(KEY)


@pytest.mark.parametrize(("meeting_id", "expires"), [("", 1), ("x" * 256, 1), ("x", 0), ("x", -1)])
def test_no_link_is_made_that_could_not_be_read(meeting_id: str, expires: int) -> None:
    with pytest.raises(ValueError, match="no "):
        KEY.link(meeting_id, Right.GUEST, expires)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255),
    st.sampled_from(Right),
    st.integers(1, 10**11 - 1),
)
def test_every_link_is_read_again_from_its_address(
    meeting_id: str, right: Right, expires: int
) -> None:
    parts = urlsplit(KEY.link(meeting_id, right, expires).path("invite.ics", lang="de"))
    room = unquote(parts.path.split("/")[2])
    read = KEY.read(room, dict(parse_qsl(parts.query)), expires - 1)

    assert parts.path.count("/") == 3
    assert read
    assert (read.meeting_id, read.right, read.expires) == (meeting_id, right, expires)


@given(st.text(), st.dictionaries(st.sampled_from(["right", "expires", "signature"]), st.text()))
def test_nothing_that_anybody_writes_is_a_link(meeting_id: str, query: dict[str, str]) -> None:
    assert KEY.read(meeting_id, query, NOW) is None


def snippet(language: str) -> str:
    """The recipe of one language, as the documentation has it."""
    found = re.search(rf"```{language}\n(.*?)```", RECIPE.read_text(), flags=re.DOTALL)
    assert found, f"no recipe for {language}"
    return found[1]


def runs(*command: str) -> str:
    utf8 = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=20, env=utf8
    ).stdout.strip()


VALUES = {
    "base": "https://dialin.example.org",
    "secret": SECRET,
    "meeting_id": "Müller &/1",
    "right": "host",
    "expires": EXPIRES,
}


def made_by_the_recipe(language: str) -> str:
    if language == "python":
        given_ = "\n".join(f"{name} = {value!r}" for name, value in VALUES.items())
        return runs(sys.executable, "-c", f"{given_}\n{snippet('python')}print(url)")
    given_ = "\n".join(
        f"${name} = {json.dumps(value, ensure_ascii=False)};" for name, value in VALUES.items()
    )
    if language == "php":
        return runs("php", "-r", f"{given_}\n{snippet('php')}echo $url;")
    names = "\n".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in VALUES.items()
    )
    return runs("ruby", "-e", f"{names}\n{snippet('ruby')}puts url")


@pytest.mark.parametrize(
    "language",
    [
        "python",
        pytest.param("php", marks=pytest.mark.e2e),
        pytest.param("ruby", marks=pytest.mark.e2e),
    ],
)
def test_the_documented_recipe_makes_links_that_are_read(language: str) -> None:
    if language != "python" and not shutil.which(language):
        pytest.skip(f"{language} is not installed")

    assert made_by_the_recipe(language) == f"https://dialin.example.org{VECTOR}"


def test_the_documented_example_is_read() -> None:
    parts = urlsplit(VECTOR)

    assert VECTOR in RECIPE.read_text()
    assert KEY.read(unquote(parts.path.split("/")[2]), dict(parse_qsl(parts.query)), NOW)
