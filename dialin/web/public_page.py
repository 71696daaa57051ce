# SPDX-License-Identifier: GPL-3.0-or-later
"""The public page: which numbers there are, how to join, and what happens to a caller's data."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from dialin.web.facts import statement
from dialin.web.numbers import nearest_first
from dialin.web.pages import Pages
from dialin.web.room_view import Conditions


def public_page(pages: Pages, condition: Conditions) -> Handler:
    """`/`, for everybody."""

    async def answer(request: web.Request) -> web.Response:
        who = pages.reader(request)
        sentence, age_s = condition().sentence(datetime.now(UTC))
        return pages.page(
            request,
            "public.html",
            numbers=nearest_first(pages.facts.numbers, who),
            statement=list(statement(who.words, pages.facts)),
            sentence=sentence,
            ago=who.words.ago(age_s),
        )

    return answer
