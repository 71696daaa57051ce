# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the public pages can do what they are for, as far as the settings tell."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from dialin.check.steps import Finding, ok, warn

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Where nobody is on the way."""


def pages_are_of_use(root: str, *, signs_links: bool, numbers: int) -> Iterator[Finding]:
    """What hosts and callers find. `root` is what public addresses begin with."""
    findings = list(_faults(root, signs_links=signs_links, numbers=numbers))
    if findings:
        yield from findings
    elif signs_links:
        yield ok(f"Rooms have pages at {root}/rooms/.")
    else:
        yield ok("The public page only: rooms have pages once web.link_secret is set.")


def _faults(root: str, *, signs_links: bool, numbers: int) -> Iterator[Finding]:
    if signs_links and not root:
        yield warn(
            "Links to room pages have no host.", "Set web.base_url to the address of the pages."
        )
    address = urlsplit(root)
    if address.scheme == "http" and address.netloc.rsplit(":", 1)[0] not in LOCAL_HOSTS:
        yield warn(
            "PINs and links travel in the clear: web.base_url is http.",
            "Put a proxy with TLS before the pages, and write https.",
        )
    if not numbers:
        yield warn(
            "No page can say which number to call.",
            'Name the numbers of your trunks as numbers = [{ e164 = "+493012345678" }].',
        )
