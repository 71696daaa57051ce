# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages are served where the settings say, and the port is free again afterwards."""

from __future__ import annotations

import socket

import pytest
from aiohttp import ClientSession

from dialin.errors import OperatorError
from dialin.web import serve
from tests.web import app_with


async def test_pages_are_served_on_the_address_that_is_given_back() -> None:
    async with serve(app_with(), "127.0.0.1", 0) as addresses, ClientSession() as session:
        ((host, port),) = addresses
        async with session.get(f"http://{host}:{port}/healthz") as response:
            assert response.status == 200

    with socket.socket() as probe:
        assert probe.connect_ex((host, port)) != 0


async def test_a_port_that_is_taken_is_told_with_a_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError) as refused:
            async with serve(app_with(), "127.0.0.1", port):
                pass

    assert f"cannot listen on 127.0.0.1 port {port}" in refused.value.cause
    assert "web.port" in refused.value.remedy
