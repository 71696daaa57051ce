# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that are read anew while calls are up: which of them count at once, and how they do.

What would need sockets, worker processes or files of its own stays as it was at the start, and is
named. A file that is wrong changes nothing: everything that can be refused is made before anything
is taken over. Calls that are up keep what they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import BaseModel

from dialin.app import parts
from dialin.app.api import make_tokens, tokens_of
from dialin.app.core import Core
from dialin.app.webhooks import SeenApi
from dialin.caller import RoomLabels
from dialin.errors import OperatorError
from dialin.house import House
from dialin.log import set_level
from dialin.providers import registration_makers
from dialin.settings import Settings, refuse_unbuilt
from dialin.web.api import Tokens

log = logging.getLogger(__name__)

S = TypeVar("S", bound=BaseModel)

COLD = (
    "sip",
    "media",
    "store",
    "selftest",
    "service.state_directory",
    "web",
    "pin.wrong_per_caller_per_hour",
    "pin.wrong_withheld_per_hour",
    "pin.slow_mode_above_per_hour",
    "pin.slow_mode_release_per_hour",
    "pin.max_risk",
    "pin.accept_risk",
    "log.format",
)
"""Settings that count from the next start on, or whole sections of them."""
HOT = ("web.token", "web.requests_per_minute")
"""Settings inside those that count at once all the same."""


def is_cold(path: str) -> bool:
    """Whether a setting counts from the next start on only."""
    return path not in HOT and any(path == cold or path.startswith(f"{cold}.") for cold in COLD)


def differences(old: object, new: object, path: str = "") -> Iterator[str]:
    """The dotted names of all settings that differ; a table with names counts whole."""
    if not (isinstance(old, BaseModel) and isinstance(new, BaseModel)):
        if old != new:
            yield path
        return
    for name in type(old).model_fields:
        below = f"{path}.{name}" if path else name
        yield from differences(getattr(old, name), getattr(new, name), below)


def taken_over(old: S, new: S, path: str = "") -> S:
    """The new settings, with the old values of all that counts from the next start on only."""
    kept = {}
    for name in type(new).model_fields:
        below = f"{path}.{name}" if path else name
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            kept[name] = taken_over(before, after, below)
        elif is_cold(below):
            kept[name] = before
    return new.model_copy(update=kept)


@dataclass(slots=True)
class Changeable:
    """The running parts that settings can change."""

    settings: Settings
    """Those in force."""
    core: Core
    house: House
    """What calls from now on work with."""
    tokens: Tokens = field(init=False)
    """Who may use the API."""
    followers: list[Callable[[Settings], None]] = field(init=False, default_factory=list)
    """Told of the settings in force after each change."""

    def __post_init__(self) -> None:
        self.tokens = make_tokens(self.settings)

    async def change(self, wanted: Settings) -> None:
        """Take over what can be taken over. Raises OperatorError, and changes nothing then."""
        refuse_unbuilt(wanted)
        before = self.settings
        changed = tuple(differences(before, wanted))
        settings = taken_over(before, wanted)
        house, trunks = self._furnished(settings), parts.make_trunks(settings)
        core = self.core
        core.sources.change(trunks)
        house.labels.change(number=settings.label.template, withheld=settings.label.hidden)
        self.settings, self.house = settings, house
        core.door.open(house)
        core.registry.max_calls = settings.service.max_calls
        self.tokens.change(tokens_of(settings), per_minute=settings.web.requests_per_minute)
        set_level(settings.log.level)
        parts.trust_trunks(settings, core.sip)
        apis = parts.make_apis(settings, core.session, core.metrics)
        core.rooms.change([SeenApi(api, core.events) for api in apis])
        await core.voice.change(parts.make_voice_servers(settings))
        await core.webhooks.change(settings)
        await core.registrations.change(
            registration_makers(settings, core.sip, core.sources),
            [name for name, trunk in settings.trunks.items() if before.trunks.get(name) != trunk],
        )
        for follow in self.followers:
            follow(settings)
        self._tell(changed)

    def _furnished(self, settings: Settings) -> House:
        """What calls from now on work with. Raises OperatorError."""
        RoomLabels(number=settings.label.template, withheld=settings.label.hidden)  # or refused
        return replace(
            self.house, prompts=parts.make_prompts(settings), policy=parts.make_policy(settings)
        )

    def _tell(self, changed: tuple[str, ...]) -> None:
        late = [path for path in changed if is_cold(path)]
        at_once = [path for path in changed if not is_cold(path)]
        log.info("settings read anew", extra={"changed": " ".join(at_once) or "nothing"})
        if late:
            log.warning(
                "some settings count from the next start on only",
                extra={"settings": " ".join(late), "remedy": "Start the service anew for them."},
            )


async def read_anew(load: Callable[[], Settings], changeable: Changeable) -> bool:
    """Read the settings again and take them over; whether that could be done, said in the log."""
    try:
        await changeable.change(await asyncio.to_thread(load))
    except OperatorError as error:
        log.error(  # noqa: TRY400 - the operator's doing: cause and remedy, no traceback
            "the settings are wrong and stay as they were",
            extra={"cause": " ".join(str(error).split()), "remedy": "Mend them, and reload again."},
        )
        return False
    return True
