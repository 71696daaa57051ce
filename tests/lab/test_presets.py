# SPDX-License-Identifier: GPL-3.0-or-later
"""Every preset against a stand-in that behaves as its provider is known to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from dialin.wire.digest import parse_credentials
from tests.fakes.authority import Authority
from tests.lab.bench import lab, way_in
from tests.lab.providers import EASYBELL, OTHERS, Provider

PROVIDERS = (EASYBELL, *OTHERS)
REGISTRARS = [provider for provider in PROVIDERS if provider.registers]
PEERS = [provider for provider in PROVIDERS if not provider.registers]
STRANGER = "127.0.3.1"


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
async def test_a_preset_takes_the_providers_calls_into_the_room(
    provider: Provider, tmp_path: Path, authority: Authority
) -> None:
    async with lab(provider, tmp_path, authority) as bench:
        for count, form in enumerate(provider.forms, start=1):
            async with bench.call(form) as call:
                assert (await call.dial()).status == 200, form.name
                member = await bench.in_room(call)
                shown = await bench.shown()
                assert member.reading.name == form.label, form.name
                assert shown["label"] == form.label, form.name
                assert shown["number_called"] == provider.number, form.name
                assert shown["encrypted"] is provider.offer.is_encrypted
                await bench.room_hears(call, member)
                await call.hang_up()
                await bench.is_over()
                assert await bench.world.ends() == {"success/left-room": count}


@pytest.mark.parametrize("provider", REGISTRARS, ids=lambda provider: provider.name)
async def test_a_preset_registers_as_the_provider_wants_it(
    provider: Provider, tmp_path: Path, authority: Authority
) -> None:
    async with lab(provider, tmp_path, authority) as bench:
        await bench.world.until_true(bench.is_registered)
        [(_, first), (_, second)] = bench.exchange.registers
        assert first.headers.get("Authorization") is None
        assert first.headers.get("Expires") == str(provider.preset.trunk.get("expires_s", 300))
        assert second.to.uri_text == f"sip:{provider.user}@{provider.server}"
        [answer] = bench.exchange.answers
        credentials = parse_credentials(answer)
        assert (credentials.username, credentials.realm) == (provider.user, provider.realm)
        assert credentials.algorithm == provider.algorithms[-1]
        assert bench.exchange.connections == (1 if provider.is_tls else 0)


@pytest.mark.parametrize("provider", PEERS, ids=lambda provider: provider.name)
async def test_a_stranger_is_not_heard_where_calls_come_without_registration(
    provider: Provider, tmp_path: Path, authority: Authority
) -> None:
    async with lab(provider, tmp_path, authority) as bench:
        bench.exchange.host = STRANGER
        counters = bench.world.service.sip.counters
        with suppress(OSError):  # over TLS it is cut off before anything is proved
            bench.line, bench.sent_by = await way_in(
                provider, bench.exchange, bench.world, authority
            )
            async with bench.call(provider.forms[0]) as call:
                call.invite()
                await bench.world.until(lambda: counters.dropped_source > 0)
        assert counters.refused_connections + counters.dropped_source == 1
        assert bench.exchange.responses.empty()
