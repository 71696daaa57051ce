# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the process lives, and whether a caller who came now could reach a meeting."""

from __future__ import annotations

import pytest

from dialin.rooms import ServerHealth
from dialin.web import Dependency, Readiness
from tests.web import ILL, WELL, Rooms, app_with
from tests.web.conftest import Visit

SIP_WELL = Dependency("sip.listen", ok=True)
SIP_ILL = Dependency("sip.listen", ok=False, cause="address-in-use")


async def test_a_process_that_answers_is_alive_whatever_its_servers_do(visit: Visit) -> None:
    client = await visit(app_with(rooms=Rooms([ILL]), readiness=Readiness(accepting=False)))
    response = await client.get("/healthz")

    assert response.status == 200
    assert await response.json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("accepting", "dependency", "servers", "status"),
    [
        pytest.param(True, SIP_WELL, [WELL], 200, id="all is well"),
        pytest.param(True, SIP_WELL, [ILL, WELL], 200, id="one server of two"),
        pytest.param(True, SIP_WELL, [ILL], 503, id="no server answers"),
        pytest.param(True, SIP_WELL, [], 503, id="no server known"),
        pytest.param(True, SIP_ILL, [WELL], 503, id="no socket"),
        pytest.param(False, SIP_WELL, [WELL], 503, id="draining"),
    ],
)
async def test_ready_means_that_a_caller_could_reach_a_meeting(
    visit: Visit,
    *,
    accepting: bool,
    dependency: Dependency,
    servers: list[ServerHealth],
    status: int,
) -> None:
    readiness = Readiness(accepting, (dependency,))
    client = await visit(app_with(rooms=Rooms(servers), readiness=readiness))
    response = await client.get("/readyz")

    assert response.status == status
    assert (await response.json())["ready"] is (status == 200)


REGISTERED = Dependency("trunks.main", ok=True)
UNKNOWN = Dependency("trunks.spare", ok=False, cause="credentials-refused")


@pytest.mark.parametrize(
    ("trunks", "is_ready"),
    [((), True), ((REGISTERED,), True), ((UNKNOWN, REGISTERED), True), ((UNKNOWN,), False)],
)
async def test_one_trunk_that_callers_can_come_by_is_enough(
    visit: Visit, trunks: tuple[Dependency, ...], is_ready: bool
) -> None:
    readiness = Readiness(accepting=True, trunks=trunks)
    client = await visit(app_with(rooms=Rooms([WELL]), readiness=readiness))
    body = await (await client.get("/readyz")).json()

    assert body["ready"] is is_ready
    told = [part for part in body["dependencies"] if part["name"].startswith("trunks.")]
    assert [(part["name"], part["ok"], part["cause"]) for part in told] == [
        (trunk.name, trunk.ok, trunk.cause or None) for trunk in trunks
    ]


async def test_each_dependency_tells_what_is_wrong(visit: Visit) -> None:
    readiness = Readiness(accepting=True, dependencies=(SIP_ILL,))
    client = await visit(app_with(rooms=Rooms([WELL, ILL]), readiness=readiness))
    body = await (await client.get("/readyz")).json()

    assert body == {
        "ready": False,
        "accepting": True,
        "dependencies": [
            {"name": "sip.listen", "ok": False, "cause": "address-in-use"},
            {"name": "bbb_servers.main", "ok": True, "cause": None},
            {"name": "bbb_servers.spare", "ok": False, "cause": "timeout"},
        ],
    }
