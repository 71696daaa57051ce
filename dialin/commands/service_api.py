# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of the service that runs, for commands that nobody waits for but a person."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import requests

from dialin.check.running import base_address
from dialin.errors import OperatorError
from dialin.settings import Settings

ANSWER_WITHIN_S = 5.0
REFUSALS = {
    HTTPStatus.UNAUTHORIZED: (
        "The service does not take web.token.",
        "Name the settings that it runs with, or start it anew after a change.",
    ),
    HTTPStatus.NOT_FOUND: (
        "The service that answers has no such API.",
        "Set web.token and start it anew; or another program or version has its port.",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: (
        "The service was asked too often.",
        "Wait a minute; see web.requests_per_minute.",
    ),
}


class ServiceApi:
    """Asks the service on this machine, as a context manager."""

    def __init__(self, settings: Settings) -> None:
        """Raises OperatorError where the settings allow no API."""
        if settings.web.token is None:
            raise OperatorError(
                "The service cannot be asked: web.token is not set.",
                "Set it to what `openssl rand -base64 32` prints, and start the service anew.",
            )
        self._base = base_address(settings.web.host, settings.web.port)
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy would not reach this machine's loopback
        self._session.headers["Authorization"] = f"Bearer {settings.web.token.get_secret_value()}"

    def __enter__(self) -> ServiceApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, what: str) -> Any:
        """What `/api/v1/WHAT` says. Raises OperatorError."""
        return self._ask("GET", what).json()

    def post(self, what: str) -> None:
        """Ask for something that takes no words. Raises OperatorError."""
        self._ask("POST", what)

    def _ask(self, method: str, what: str) -> requests.Response:
        try:
            answer = self._session.request(
                method,
                f"{self._base}/api/v1/{what}",
                timeout=ANSWER_WITHIN_S,
                allow_redirects=False,
            )
        except requests.RequestException:
            raise OperatorError(
                f"The service does not answer at {self._base}.",
                "Start it, or name the settings that it runs with by --config.",
            ) from None
        if answer.ok:
            return answer
        cause, remedy = REFUSALS.get(
            HTTPStatus(answer.status_code),
            (f"The service answers with {answer.status_code}.", "Its log tells why."),
        )
        raise OperatorError(cause, remedy)
