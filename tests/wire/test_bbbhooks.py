# SPDX-License-Identifier: GPL-3.0-or-later
"""BBB's webhooks: what bbb-webhooks posts, its checksum, and everything else that could come."""

from __future__ import annotations

import hashlib
import json
import traceback
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialin.wire.bbbhooks import (
    EVENT_IDS,
    MAX_EVENTS,
    MAX_FIELDS,
    MAX_HOOK_BYTES,
    MAX_TEXT,
    HookEvent,
    HookKind,
    MalformedHook,
    hook_checksum,
    is_genuine,
    parse_hook,
)
from dialin.wire.bbbxml import CHECKSUMS, Checksum

URL = "https://dialin.example.org/hooks/bbb/main"
SECRET = "hush" + "-canary-4711"
FORM = "application/x-www-form-urlencoded"
INTERNAL = "038b74cf04c0ee371f939c9e54de060753899589-1696511528029"


def event(
    kind: str, *, user: Any = None, at: Any = 1696511528509, **meeting: Any
) -> dict[str, Any]:
    """One event as bbb-webhooks maps it."""
    attributes = {
        "meeting": {"internal-meeting-id": INTERNAL, "external-meeting-id": "physics", **meeting}
    }
    if user is not None:
        attributes["user"] = user
    return {"data": {"type": "event", "id": kind, "attributes": attributes, "event": {"ts": at}}}


def form(*events: Any) -> bytes:
    """A post of bbb-webhooks: its fields in the order of the alphabet."""
    return urlencode(
        {"domain": "bbb.example.org", "event": json.dumps(list(events)), "timestamp": "1"}
    ).encode()


def read(*events: Any) -> tuple[HookEvent, ...]:
    return parse_hook("main", form(*events), FORM)


def cause(body: bytes, content_type: str = FORM) -> str:
    with pytest.raises(MalformedHook) as malformed:
        parse_hook("main", body, content_type)
    return malformed.value.cause


class TestChecksum:
    @pytest.mark.parametrize("algorithm", CHECKSUMS)
    def test_it_is_over_url_body_and_secret(self, algorithm: Checksum) -> None:
        body = form(event("meeting-ended"))
        made = hashlib.new(algorithm, URL.encode() + body + SECRET.encode()).hexdigest()
        assert hook_checksum(URL, body, SECRET, algorithm) == made
        assert is_genuine(made, URL, body, SECRET)
        assert is_genuine(made.upper(), URL, body, SECRET)

    def test_another_url_body_or_secret_is_not_genuine(self) -> None:
        body = form(event("meeting-ended"))
        checksum = hook_checksum(URL, body, SECRET, "sha1")
        assert not is_genuine(checksum, URL + "/", body, SECRET)
        assert not is_genuine(checksum, URL, body + b"&", SECRET)
        assert not is_genuine(checksum, URL, body, SECRET + "x")

    @pytest.mark.parametrize(
        "checksum", ["", "0" * 40, "0" * 41, "\u0660" * 40, "é" * 64, "g" * 128]
    )
    def test_what_is_no_checksum_is_not_genuine(self, checksum: str) -> None:
        assert not is_genuine(checksum, URL, b"", SECRET)


class TestEvents:
    def test_a_meeting_is_created_with_all_that_a_call_needs(self) -> None:
        assert read(
            event(
                "meeting-created",
                **{
                    "name": "Physics",
                    "is-breakout": False,
                    "parent-id": "bbb-none",
                    "create-time": 1696511528029,
                    "moderator-pass": "mp",
                    "viewer-pass": "ap",
                    "record": True,
                    "voice-conf": "01234",
                    "dial-number": "613-555-1234",
                    "audioBridge": "livekit",
                    "metadata": {},
                },
            )
        ) == (
            HookEvent(
                "main",
                "physics",
                INTERNAL,
                HookKind.MEETING_CREATED,
                meeting_name="Physics",
                voice_bridge="01234",
                audio_bridge="livekit",
                is_recorded=True,
                timestamp_ms=1696511528509,
            ),
        )

    def test_a_breakout_room_has_a_parent(self) -> None:
        (made,) = read(event("meeting-created", **{"is-breakout": True, "parent-id": "p-1"}))
        assert (made.is_breakout, made.parent_id) == (True, "p-1")

    @pytest.mark.parametrize("kind", [one for one in EVENT_IDS if one.startswith("user-audio")])
    def test_what_happens_to_a_microphone_names_its_user(self, kind: str) -> None:
        (heard,) = read(event(kind, user={"internal-user-id": "v_12", "muted": True}))
        assert (heard.kind, heard.user_id, heard.user_name) == (kind, "v_12", "")

    def test_who_joins_has_a_name(self) -> None:
        (joined,) = read(
            event("user-joined", user={"internal-user-id": "w_1", "name": "Ada", "role": "VIEWER"})
        )
        assert (joined.user_id, joined.user_name) == ("w_1", "Ada")

    @pytest.mark.parametrize(
        ("user", "kind"),
        [
            ({"raise-hand": True}, HookKind.HAND_RAISED),
            ({"raise-hand": "true"}, HookKind.HAND_RAISED),
            ({"raiseHand": True}, HookKind.HAND_RAISED),
            ({"raise-hand": False}, HookKind.HAND_LOWERED),
            ({"raiseHand": False}, HookKind.HAND_LOWERED),
            ({}, HookKind.HAND_LOWERED),
        ],
    )
    def test_a_hand_goes_up_or_down(self, user: dict[str, Any], kind: HookKind) -> None:
        (hand,) = read(event("user-raise-hand-changed", user=user))
        assert hand.kind is kind

    def test_each_kind_but_one_is_an_event_of_bbbs(self) -> None:
        assert len(EVENT_IDS) == len(HookKind) - 1
        assert not read(event(HookKind.HAND_LOWERED))

    def test_several_events_stay_in_order_and_others_are_passed_over(self) -> None:
        heard = read(
            event("user-left", user={"internal-user-id": "v_1"}),
            event("chat-group-message-sent"),
            event("meeting-recording-started"),
            event("meeting-ended"),
        )
        assert [one.kind for one in heard] == [
            HookKind.USER_LEFT,
            HookKind.RECORDING_STARTED,
            HookKind.MEETING_ENDED,
        ]

    def test_json_is_read_as_well_alone_or_as_a_list(self) -> None:
        ended = event("meeting-ended")
        for posted in (ended, [ended]):
            body = json.dumps(posted).encode()
            (heard,) = parse_hook("main", body, "application/json")
            assert heard.kind is HookKind.MEETING_ENDED

    def test_names_and_numbers_are_in_no_repr(self) -> None:
        (joined,) = read(
            event(
                "user-joined",
                user={"internal-user-id": "v_77", "name": "canary"},
                **{"voice-conf": "123456789", "name": "canary"},
            )
        )
        assert not any(hidden in repr(joined) for hidden in ("canary", "123456789", "v_77"))


class TestOddities:
    @pytest.mark.parametrize("value", [None, 5, True, [], {}, 1.5])
    def test_what_is_no_text_is_empty(self, value: Any) -> None:
        (heard,) = read(
            event("user-joined", user={"internal-user-id": value, "name": value}) | {"extra": value}
        )
        assert (heard.user_id, heard.user_name) == ("", "")

    @pytest.mark.parametrize("value", [None, "1", True, -1, 1.5, 1 << 53, [], {}])
    def test_what_is_no_time_is_zero(self, value: Any) -> None:
        (heard,) = read(event("meeting-ended", at=value))
        assert heard.timestamp_ms == 0

    @pytest.mark.parametrize("value", [None, [], "x", 1])
    def test_a_part_that_is_none_is_empty(self, value: Any) -> None:
        posted = {"data": {"id": "meeting-ended", "attributes": value, "event": value}}
        assert read(posted) == (HookEvent("main", "", "", HookKind.MEETING_ENDED),)

    def test_texts_are_cut(self) -> None:
        (joined,) = read(event("user-joined", user={"name": "x" * 5000}))
        assert len(joined.user_name) == MAX_TEXT

    def test_half_a_character_is_none(self) -> None:
        (joined,) = read(event("user-joined", user={"name": "a\ud800b"}))
        assert joined.user_name == "a?b"


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"x" * (MAX_HOOK_BYTES + 1), "too-large"),
            (b"", "no-event"),
            (b"event", "no-event"),
            (b"domain=x&timestamp=1", "no-event"),
            (b"\xff=1", "no-event"),
            (b"&".join([b"event=[]"] * (MAX_FIELDS + 1)), "no-event"),
            (b"event=%5B", "not-json"),
            (b"event=" + b"[" * 200_000, "not-json"),
            (b"event=" + b"9" * 5000, "not-json"),
            (b"event=1", "not-an-event"),
            (b"event=%7B%7D", "not-an-event"),
            (b"event=%5B%7B%22data%22%3A1%7D%5D", "not-an-event"),
            (form(*[{}] * (MAX_EVENTS + 1)), "too-many-events"),
        ],
    )
    def test_each_has_its_cause(self, body: bytes, expected: str) -> None:
        assert cause(body) == expected

    def test_no_event_at_all_is_fine(self) -> None:
        assert read() == ()

    def test_the_error_holds_nothing_of_the_text(self) -> None:
        body = b"can" + b"ary"
        with pytest.raises(MalformedHook) as malformed:
            parse_hook("main", body, "application/json")
        assert "canary" not in "".join(traceback.format_exception(malformed.value))
        assert malformed.value.__context__ is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "data": st.fixed_dictionaries(
            {},
            optional={
                "id": st.sampled_from(EVENT_IDS) | JSON,
                "attributes": st.fixed_dictionaries(
                    {},
                    optional={
                        "meeting": st.dictionaries(
                            st.sampled_from(["external-meeting-id", "voice-conf", "record"]), JSON
                        )
                        | JSON,
                        "user": st.dictionaries(
                            st.sampled_from(["internal-user-id", "name", "raise-hand"]), JSON
                        )
                        | JSON,
                    },
                )
                | JSON,
                "event": st.fixed_dictionaries({"ts": JSON}) | JSON,
            },
        )
    },
)


@given(st.binary(max_size=200), st.sampled_from([FORM, "application/json", ""]))
def test_whatever_comes_is_read_or_malformed(body: bytes, content_type: str) -> None:
    with suppress(MalformedHook):
        parse_hook("main", body, content_type)


@given(st.lists(PARTS | JSON, max_size=4))
def test_whatever_json_comes_its_events_are_texts_that_can_be_written(posted: list[Any]) -> None:
    try:
        events = read(*posted)
    except MalformedHook:
        return
    for heard in events:
        for text in (heard.meeting_id, heard.internal_id, heard.user_id, heard.user_name):
            assert len(text.encode()) <= 4 * MAX_TEXT
        assert heard.kind in HookKind


@given(st.binary(max_size=60), st.text(max_size=130))
def test_nobody_makes_a_checksum_without_the_secret(body: bytes, checksum: str) -> None:
    assert not is_genuine(checksum, URL, body, SECRET)
