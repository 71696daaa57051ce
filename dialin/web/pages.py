# SPDX-License-Identifier: GPL-3.0-or-later
"""How a page is made: templates, headers, static files, and the page that says an error.

Everything a template fills in is escaped. No page holds a script or a style, or loads anything
from elsewhere, and its Content-Security-Policy forbids what is not there. What the pages say is
left to `public_page` and `room_page`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from jinja2 import Environment, PackageLoader, StrictUndefined
from multidict import MultiDict

from dialin.web.facts import PageFacts
from dialin.web.language import SPOKEN, Reader, reader, words_of
from dialin.web.problem import OWN_HEADERS

STATIC = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""The static files and what they are."""
ROOMS = "/rooms/"
"""What the paths of room pages begin with; only they may be framed."""
OPERATORS = ("/api/", "/console", "/metrics", "/healthz", "/readyz", "/hooks/")
"""Where nobody reads pages: errors are problem documents, whatever is accepted."""
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'"
)
TOLD_ERRORS = (403, 404, 429, 500)
"""Statuses that have a sentence of their own."""


class Pages:
    """Renders templates for a reader."""

    def __init__(self, facts: PageFacts) -> None:
        self.facts = facts
        """What all pages share."""
        self._environment = Environment(
            loader=PackageLoader("dialin.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def reader(self, request: web.Request) -> Reader:
        """Who reads, as far as the browser says."""
        accepted = request.headers.get(hdrs.ACCEPT_LANGUAGE, "")
        return reader(request.query.get("lang", ""), accepted, self.facts.languages)

    def fragment(self, template: str, who: Reader, **values: object) -> str:
        """A part of a page."""
        return self._environment.get_template(template).render(
            t=who.words, facts=self.facts, prefix=self.facts.prefix, **values
        )

    def page(self, request: web.Request, template: str, **values: object) -> web.Response:
        """A whole page in the reader's language, with its headers."""
        who = self.reader(request)
        allow_scripts(request, self.facts)
        html = self.fragment(template, who, **{"switches": _switches(request, who), **values})
        return web.Response(
            text=html,
            content_type="text/html",
            headers={hdrs.CONTENT_LANGUAGE: who.words.language, hdrs.VARY: hdrs.ACCEPT_LANGUAGE},
        )

    def error(
        self, request: web.Request, status: int, headers: Mapping[str, str]
    ) -> web.Response | None:
        """What a person is told; None where a program asks.

        Says nothing but the status, so that all that is wrong with a link looks the same; even a
        link to the other language would repeat what was asked for.
        """
        if request.path.startswith(OPERATORS) or "text/html" not in _accepted(request):
            return None
        key = str(status) if status in TOLD_ERRORS else "other"
        page = self.page(request, "error.html", key=key, switches=())
        page.set_status(status)
        page.headers.update(headers)
        return page


def allow_scripts(request: web.Request, facts: PageFacts) -> None:
    """Let the answer to a request be a page: our own styles and scripts, and who may frame it."""
    is_room = request.path.startswith(ROOMS)
    origins = facts.embed_origins if is_room else ()
    frames = " ".join(origins) or "'none'"
    # X-Frame-Options cannot name an origin; browsers that know frame-ancestors ignore it.
    request[OWN_HEADERS] = {
        "Content-Security-Policy": f"{POLICY}; frame-ancestors {frames}",
        "X-Frame-Options": None if origins else "DENY",
    }


def add_static_files(app: web.Application) -> None:
    """Let an application give what all pages load."""
    for name in STATIC:
        app.router.add_get(f"/static/{name}", static_file(name))


def static_file(name: str) -> Handler:
    """One of our static files, read once."""
    body = files("dialin.web").joinpath("static", name).read_bytes()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=STATIC[name], charset="utf-8")

    return answer


def _switches(request: web.Request, who: Reader) -> list[tuple[str, str, str]]:
    """The same page in each language: language, its own name for itself, and the link's query."""
    switches = []
    for language in SPOKEN:
        query = MultiDict(request.query)
        query["lang"] = language
        target = request.rel_url.with_query(query).raw_query_string
        switches.append((language, words_of(language)("language"), f"?{target}"))
    return [switch for switch in switches if switch[0] != who.words.language]


def _accepted(request: web.Request) -> str:
    return request.headers.get(hdrs.ACCEPT, "")
