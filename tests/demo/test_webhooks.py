# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for bbb-webhooks: who registers gets the events, in their form, signed, or not."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest
from lxml import etree

from dialin.demo import webhooks as webhooks_module
from dialin.demo.hook_events import meeting_ended
from dialin.demo.rooms import DemoRoom
from dialin.demo.webhooks import HookFault, Webhooks
from tests.demo.hook_catcher import HookCatcher, Post

SECRET = "shared-secret"
ROOM = DemoRoom("weekly", "Weekly & <more>", "72013", create_time=1)
OTHER = DemoRoom("other", "Other", "72014", create_time=2)


@pytest.fixture
async def catcher() -> AsyncIterator[HookCatcher]:
    async with HookCatcher() as running:
        yield running


@pytest.fixture
async def webhooks() -> AsyncIterator[Webhooks]:
    async with Webhooks(SECRET, retry_after_s=(0.01, 0.01)) as running:
        yield running


def checksum_of(post: Post, url: str, algorithm: str = "sha1") -> str:
    """What a post should bear."""
    return hashlib.new(algorithm, url.encode() + post.body + SECRET.encode()).hexdigest()


def ask(webhooks: Webhooks, call: str, **query: str) -> etree._Element:
    return etree.fromstring(webhooks.perform(f"hooks/{call}", query))


class TestRegistering:
    def test_a_hook_is_created_listed_and_destroyed(self) -> None:
        webhooks = Webhooks(SECRET)
        made = ask(webhooks, "create", callbackURL="http://a/?b=c&d", eventID="User-Joined,x")
        assert (made.findtext("returncode"), made.findtext("permanentHook")) == ("SUCCESS", "false")
        hook_id = made.findtext("hookID")
        assert hook_id
        (listed,) = ask(webhooks, "list").findall("hooks/hook")
        assert {one.tag: one.text for one in listed} == {
            "hookID": hook_id,
            "callbackURL": "http://a/?b=c&d",
            "eventID": "user-joined,x",
            "permanentHook": "false",
            "rawData": "false",
        }
        assert ask(webhooks, "destroy", hookID=hook_id).findtext("removed") == "true"
        assert not webhooks.hooks

    def test_the_same_address_is_registered_once(self) -> None:
        webhooks = Webhooks(SECRET)
        first = ask(webhooks, "create", callbackURL="http://a/")
        again = ask(webhooks, "create", callbackURL="http://a/", meetingID="weekly")
        assert again.findtext("messageKey") == "duplicateWarning"
        assert again.findtext("hookID") == first.findtext("hookID")

    def test_a_meetings_own_hooks_are_listed_with_those_for_all(self) -> None:
        webhooks = Webhooks(SECRET)
        ask(webhooks, "create", callbackURL="http://a/")
        ask(webhooks, "create", callbackURL="http://b/", meetingID="weekly", getRaw="TRUE")
        ask(webhooks, "create", callbackURL="http://c/", meetingID="other")
        found = ask(webhooks, "list", meetingID="weekly").findall("hooks/hook")
        assert [(one.findtext("meetingID"), one.findtext("rawData")) for one in found] == [
            ("weekly", "true"),
            (None, "false"),
        ]

    @pytest.mark.parametrize(
        ("call", "query", "key"),
        [
            ("create", {}, "missingParamCallbackURL"),
            ("destroy", {}, "missingParamHookID"),
            ("destroy", {"hookID": "x"}, "destroyMissingHook"),
            ("sing", {}, "unsupportedRequest"),
        ],
    )
    def test_what_is_wrong_is_said(self, call: str, query: dict[str, str], key: str) -> None:
        assert ask(Webhooks(SECRET), call, **query).findtext("messageKey") == key

    def test_permanent_hooks_stay(self) -> None:
        webhooks = Webhooks(SECRET, permanent_urls=["http://a/"])
        (hook,) = webhooks.hooks
        assert ask(webhooks, "destroy", hookID=hook.id).findtext("returncode") == "FAILED"
        ask(webhooks, "create", callbackURL="http://b/")
        webhooks.forget()
        assert webhooks.hooks == (hook,)


class TestPosting:
    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
    async def test_an_event_comes_as_a_form_with_its_checksum(
        self, catcher: HookCatcher, algorithm: str
    ) -> None:
        async with Webhooks(SECRET, algorithm=algorithm) as webhooks:  # type: ignore[arg-type]
            ask(webhooks, "create", callbackURL=catcher.url)
            event = meeting_ended(ROOM)
            webhooks.emit(event)
            (post,) = await catcher.got(1)
            await webhooks.settled()
        assert list(post.fields) == ["domain", "event", "timestamp"]
        assert post.event == event
        assert int(post.fields["timestamp"]) == event["data"]["event"]["ts"]
        assert post.checksum == checksum_of(post, catcher.url, algorithm)
        assert webhooks.posted == {"meeting-ended": 1}

    async def test_only_what_is_wanted_comes(
        self, catcher: HookCatcher, webhooks: Webhooks
    ) -> None:
        ask(webhooks, "create", callbackURL=catcher.url, meetingID="weekly")
        ask(webhooks, "create", callbackURL=f"{catcher.url}&raw", getRaw="true")
        ask(webhooks, "create", callbackURL=f"{catcher.url}&x", eventID="user-joined")
        webhooks.emit(meeting_ended(OTHER))
        webhooks.emit(meeting_ended(ROOM))
        await webhooks.settled()
        assert [post.event["data"]["attributes"]["meeting"] for post in catcher.posts] == [
            {"internal-meeting-id": ROOM.internal_id, "external-meeting-id": "weekly"}
        ]

    async def test_a_refusal_is_tried_again_and_401_is_none(
        self, catcher: HookCatcher, webhooks: Webhooks
    ) -> None:
        ask(webhooks, "create", callbackURL=catcher.url)
        catcher.answers = [500, 404]
        webhooks.emit(meeting_ended(ROOM))
        await webhooks.settled()
        assert len(catcher.posts) == 1
        catcher.answers = [401]
        webhooks.emit(meeting_ended(ROOM))
        await webhooks.settled()
        assert (webhooks.posted, webhooks.refused) == ({"meeting-ended": 2}, {500: 1, 404: 1})

    async def test_a_hook_that_nobody_answers_for_is_forgotten(self, webhooks: Webhooks) -> None:
        ask(webhooks, "create", callbackURL="http://127.0.0.1:9/")
        webhooks.emit(meeting_ended(ROOM))
        await webhooks.settled()
        assert (webhooks.hooks, webhooks.refused) == ((), {0: 3})

    async def test_a_permanent_one_is_tried_for_ever(
        self, catcher: HookCatcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhooks_module, "PERMANENT_AGAIN_AFTER_S", 0.01)
        catcher.answers = [500, 500, 500]
        async with Webhooks(SECRET, permanent_urls=[catcher.url], retry_after_s=[]) as webhooks:
            webhooks.emit(meeting_ended(ROOM))
            await catcher.got(1)
            assert len(webhooks.hooks) == 1

    async def test_what_is_under_way_ends_with_the_server(self, catcher: HookCatcher) -> None:
        async with Webhooks(SECRET, retry_after_s=(60,)) as webhooks:
            ask(webhooks, "create", callbackURL="http://127.0.0.1:9/")
            webhooks.emit(meeting_ended(ROOM))
        assert not webhooks._posts


class TestFaults:
    async def caught(self, catcher: HookCatcher, webhooks: Webhooks, fault: HookFault) -> list[str]:
        """The ids of the meetings that three events were about, in the order of coming."""
        ask(webhooks, "create", callbackURL=catcher.url)
        webhooks.fault = fault
        for number in (1, 2, 3):
            webhooks.emit(meeting_ended(DemoRoom(str(number), "", "12345")))
        await webhooks.settled()
        meetings = (post.event["data"]["attributes"]["meeting"] for post in catcher.posts)
        return [meeting["external-meeting-id"] for meeting in meetings]

    async def test_not_sent(self, catcher: HookCatcher, webhooks: Webhooks) -> None:
        assert await self.caught(catcher, webhooks, HookFault.NOT_SENT) == []

    async def test_doubled(self, catcher: HookCatcher, webhooks: Webhooks) -> None:
        assert sorted(await self.caught(catcher, webhooks, HookFault.DOUBLED)) == [*"112233"]

    async def test_wrong_checksum(self, catcher: HookCatcher, webhooks: Webhooks) -> None:
        await self.caught(catcher, webhooks, HookFault.WRONG_CHECKSUM)
        right = [checksum_of(post, catcher.url) for post in catcher.posts]
        assert len(right) == 3
        assert not set(right) & {post.checksum for post in catcher.posts}

    async def test_late(self, catcher: HookCatcher, webhooks: Webhooks) -> None:
        webhooks.late_s = 0.05
        assert sorted(await self.caught(catcher, webhooks, HookFault.LATE)) == ["1", "2", "3"]

    async def test_out_of_order(
        self, catcher: HookCatcher, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhooks_module, "OVERTAKEN_WITHIN_S", 0.5)
        caught = await self.caught(catcher, webhooks, HookFault.OUT_OF_ORDER)
        assert caught == ["2", "1", "3"]  # nothing overtakes the last one, so it comes in the end
