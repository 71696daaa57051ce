# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check is made of: steps that are well, doubtful or failed, each told as it happens.

A step knows what it looks at and says what to do; how it is shown is left to whoever listens. What
the steps look at stands in `local`, `running`, `servers` and `trunks`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from dialin.errors import OperatorError

STEP_WITHIN_S = 45.0
"""No step takes longer: SIP gives up by itself after 32 s (RFC 3261 §17.1.1.2)."""


class Result(StrEnum):
    """How a step went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step found."""

    result: Result
    """How it went."""
    cause: str
    """What was found, in a sentence."""
    remedy: str = ""
    """What to do about it; empty where nothing is."""


def ok(cause: str) -> Finding:
    """All is well."""
    return Finding(Result.OK, cause)


def warn(cause: str, remedy: str) -> Finding:
    """The service works, and yet somebody should look."""
    return Finding(Result.WARN, cause, remedy)


def fail(cause: str, remedy: str) -> Finding:
    """It does not work like this."""
    return Finding(Result.FAIL, cause, remedy)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that has been taken."""

    step: str
    """What was looked at, named like the setting where there is one."""
    result: Result
    """How it went."""
    cause: str
    """What was found, in a sentence."""
    remedy: str
    """What to do about it; empty where nothing is."""


class Sheet:
    """All steps of one check, in the order in which they were taken."""

    def __init__(
        self,
        *,
        begun: Callable[[str], None] = lambda name: None,
        done: Callable[[Step], None] = lambda step: None,
        step_within_s: float = STEP_WITHIN_S,
    ) -> None:
        """`begun` is told what is looked at next, `done` what was found."""
        self.steps: list[Step] = []
        """What has been found so far."""
        self._begun = begun
        self._done = done
        self._step_within_s = step_within_s

    @property
    def has_failed(self) -> bool:
        """Whether any step did."""
        return any(step.result is Result.FAIL for step in self.steps)

    async def take(self, name: str, work: Awaitable[Finding]) -> bool:
        """Take a step that has to wait for others; returns whether what builds upon it makes sense.

        An OperatorError is what the step found; so is that it takes too long.
        """
        self._begun(name)
        try:
            async with asyncio.timeout(self._step_within_s):
                finding = await work
        except OperatorError as error:
            finding = fail(error.cause, error.remedy)
        except TimeoutError:
            finding = fail(
                f"It was not done after {self._step_within_s:g} s.",
                "See whether this machine or the other one is overloaded, and try again.",
            )
        return self._note(name, finding)

    def look(self, name: str, work: Callable[[], Finding]) -> bool:
        """The same for a step that is done at once."""
        self._begun(name)
        try:
            finding = work()
        except OperatorError as error:
            finding = fail(error.cause, error.remedy)
        return self._note(name, finding)

    def tell(self, name: str, findings: Iterable[Finding]) -> None:
        """Note what is known already, a step each."""
        for finding in findings:
            self._begun(name)
            self._note(name, finding)

    def _note(self, name: str, finding: Finding) -> bool:
        step = Step(name, finding.result, finding.cause, finding.remedy)
        self.steps.append(step)
        self._done(step)
        return step.result is not Result.FAIL

    def as_json(self) -> dict[str, list[dict[str, str]]]:
        """All steps as `dialin check --json` prints them."""
        return {"steps": [asdict(step) for step in self.steps]}
