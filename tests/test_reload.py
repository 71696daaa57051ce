# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings read anew under running calls: what changes, what waits, and who notices nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dialin import app
from dialin.app.reload import differences, is_cold, read_anew, taken_over
from dialin.app.stopping import reloading
from dialin.demo.run import demo_settings
from dialin.settings import Settings, load
from dialin.sip import OutgoingLeg, Refused, SipEndpoint
from dialin.systemd import ServiceManager
from tests.settings import settings
from tests.world import ANYWHERE, TOKEN, World, ring, telephone, whole_service

NEW_TOKEN = "another-token-9Xq7Lw2Vb9Zr4"
WITHIN_S = 10.0


async def dial(phone: SipEndpoint, world: World, user: str = "dialin") -> OutgoingLeg:
    """A call that is up."""
    leg = await ring(phone, world, user)
    await leg.answered()
    return leg


def changed(world: World, **sections: dict[str, Any]) -> Settings:
    """The world's settings with changes."""
    return demo_settings(
        ANYWHERE, ANYWHERE, TOKEN, world.bbb, world.conference.addresses[0], **sections
    )


async def take_over(world: World, wanted: Settings) -> bool:
    """Read these settings anew."""
    return await read_anew(lambda: wanted, world.service.changeable)


async def status(world: World, path: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{world.http}{path}") as answer,
    ):
        return answer.status


class TestWhatCountsWhen:
    @pytest.mark.parametrize(
        ("path", "cold"),
        [
            ("sip.listen", True),
            ("media.rtp_first_port", True),
            ("web.port", True),
            ("web.token", False),
            ("service.state_directory", True),
            ("service.max_calls", False),
            ("pin.tries", False),
            ("pin.max_risk", True),
            ("trunks", False),
            ("bbb_servers", False),
            ("log.level", False),
            ("log.format", True),
        ],
    )
    def test_sockets_workers_and_files_wait_for_the_next_start(self, path: str, cold: bool) -> None:
        assert is_cold(path) is cold

    def test_differences_are_named(self) -> None:
        old = settings()
        new = settings({"web.port": 9000, "ivr.music": False, "trunks.lab.region": "DE"})
        assert set(differences(old, new)) == {"web.port", "ivr.music", "trunks"}
        assert list(differences(old, old)) == []

    def test_what_waits_keeps_its_old_value(self) -> None:
        old = settings()
        new = settings({"web.port": 9000, "ivr.music": False, "media.timeout_s": 60})
        force = taken_over(old, new)
        assert (force.web.port, force.media.timeout_s) == (old.web.port, old.media.timeout_s)
        assert force.ivr.music is False

    def test_every_cold_setting_exists(self) -> None:
        from dialin.app.reload import COLD, HOT

        for path in (*COLD, *HOT):
            value: object = settings()
            for name in path.split("."):
                assert name in type(value).model_fields, path  # type: ignore[attr-defined]
                value = getattr(value, name)


async def test_numbers_tokens_limits_and_labels_change_and_calls_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with whole_service() as world, telephone() as phone:
        call = await dial(phone, world)
        wanted = changed(
            world,
            trunks={
                "demo": {
                    "allowed_sources": ["127.0.0.0/8"],
                    "numbers": [{"e164": "+493023125199"}],
                    "region": "DE",
                }
            },
            web={"token": NEW_TOKEN},
            service={"max_calls": 2, "name": "Renamed"},
            label={"template": "tel {digits}"},
            log={"level": "debug"},
        )
        assert await take_over(world, wanted)
        assert not call.ended.done()
        assert len(world.service.registry) == 1
        with pytest.raises(Refused) as refused:
            await dial(phone, world, "03023125100")
        assert refused.value.status == 404
        second = await dial(phone, world, "03023125199")
        with pytest.raises(Refused) as refused:
            await dial(phone, world, "03023125199")
        assert refused.value.status == 503
        assert await status(world, "/api/v1/calls", TOKEN) == 401
        assert await status(world, "/api/v1/calls", NEW_TOKEN) == 200
        assert b"Renamed" in await world.page("/")
        assert not any(leg.ended.done() for leg in (call, second))
    assert "settings read anew" in caplog.text


async def test_servers_come_and_go() -> None:
    async with whole_service() as world, telephone() as phone:
        await world.service.rooms.look_again()
        call = await dial(phone, world)
        server = changed(world).bbb_servers["demo"].model_dump()
        server["secret"] = world.bbb.secret
        wanted = changed(world)
        other = wanted.model_copy(update={"bbb_servers": {"other": wanted.bbb_servers["demo"]}})
        assert await take_over(world, other)
        await world.until(lambda: [one.ok for one in world.service.rooms.servers] == [True])
        assert [one.name for one in world.service.rooms.servers] == ["other"]
        assert world.service.rooms.with_voice_bridge("123456789")[0].server == "other"
        assert await take_over(world, wanted)
        await world.until(lambda: [one.ok for one in world.service.rooms.servers] == [True])
        assert not call.ended.done()


async def test_a_secret_that_is_corrected_works_at_once() -> None:
    async with whole_service() as world:
        await world.service.rooms.look_again()
        right = changed(world)
        wrong = changed(
            world,
            bbb_servers={"demo": {"url": world.bbb.url, "secret": "wrong", "voice_host": "x"}},
        )
        assert await take_over(world, wrong)
        await world.until(lambda: not world.service.rooms.servers[0].ok)
        assert await take_over(world, right)
        await world.until(lambda: world.service.rooms.servers[0].ok)


async def test_what_counts_later_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async with whole_service() as world:
        assert await take_over(world, changed(world, media={"timeout_s": 77}))
        assert world.service.changeable.settings.media.timeout_s != 77
    [record] = [one for one in caplog.records if "next start" in one.getMessage()]
    assert record.settings == "media.timeout_s"  # type: ignore[attr-defined]


async def test_wrong_settings_change_nothing_and_say_why_in_one_line(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async with whole_service() as world:
        before = world.service.changeable.settings

        def refuse() -> Settings:
            file = tmp_path / "dialin.toml"
            file.write_text("[web]\nport = 'x'\n[nonsense]\n")
            return load(file).settings

        caplog.clear()
        assert not await read_anew(refuse, world.service.changeable)
        assert world.service.changeable.settings is before
        [record] = [one for one in caplog.records if one.levelname == "ERROR"]
        assert "\n" not in record.cause  # type: ignore[attr-defined]
        assert "web.port" in record.cause  # type: ignore[attr-defined]


async def test_what_only_the_start_would_refuse_changes_nothing_either(tmp_path: Path) -> None:
    async with whole_service() as world:
        before = world.service.changeable.settings
        empty = tmp_path / "sounds"
        empty.mkdir()
        (empty / "de").mkdir()
        (empty / "de" / "welcome.pcmu").write_bytes(bytes(160))
        wanted = changed(world, ivr={"prompt_folder": str(empty)}, service={"max_calls": 7})
        assert not await take_over(world, wanted)
        assert world.service.changeable.settings is before
        assert world.service.registry.max_calls == before.service.max_calls


async def test_sighup_reads_anew_and_several_are_one() -> None:
    reads: list[int] = []
    done, again = asyncio.Event(), asyncio.Event()

    async def reload() -> None:
        reads.append(1)
        done.set()
        await again.wait()

    async with reloading(reload):
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(done.wait(), WITHIN_S)
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        done.clear()
        again.set()
        await asyncio.wait_for(done.wait(), WITHIN_S)
        await asyncio.sleep(0.05)
    assert len(reads) == 2


async def test_the_whole_way_from_the_signal(tmp_path: Path) -> None:
    async with whole_service() as world:
        told: list[str] = []

        class Manager(ServiceManager):
            """Takes the service through a reload, then ends it."""

            def ready(self) -> None:
                told.append("ready")
                number = signal.SIGHUP if len(told) == 1 else signal.SIGINT
                os.kill(os.getpid(), number)

            def reloading(self) -> None:
                told.append("reloading")

        wanted = changed(world)
        assert await app.run(wanted, load=lambda: wanted, manager=Manager()) == 0
        assert told == ["ready", "reloading", "ready"]
