# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the web side: what may be public, and by which address and secret."""

from __future__ import annotations

import pytest

from tests.settings import TOKEN, complaint, settings


def test_by_default_nothing_is_public_and_no_room_has_a_page() -> None:
    web = settings().web

    assert (web.public_host, web.public_port, web.link_secret, web.root) == (None, None, None, "")
    assert web.embed_origins == ()
    assert web.proxies == ()


def test_links_begin_with_the_base_address_whether_it_ends_in_a_slash_or_not() -> None:
    for url in ("https://dialin.example.org", "https://dialin.example.org/"):
        assert settings({"web.base_url": url}).web.root == "https://dialin.example.org"
    below = settings({"web.base_url": "https://example.org/dialin/"}).web
    assert below.root == "https://example.org/dialin"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("web.base_url", "https://user:password@example.org/"),
        ("web.base_url", "https://example.org/?a=b"),
        ("web.base_url", "https://example.org/#a"),
        ("web.base_url", "ftp://example.org/"),
        ("web.imprint_url", "https://user@example.org/"),
        ("web.privacy_url", "javascript:alert(1)"),
        ("web.time_zone", "Europe/Atlantis"),
        ("web.time_zone", "../etc/passwd"),
        ("web.time_zone", ""),
        ("web.embed_origins", ["https://moodle.example.org/course"]),
        ("web.embed_origins", ["https://moodle.example.org/"]),
        ("web.embed_origins", ["moodle.example.org"]),
        ("web.embed_origins", ["*"]),
        ("web.embed_origins", ["https://*"]),
        ("web.embed_origins", ["https://a.example.org; script-src *"]),
        ("web.embed_origins", ["https://user@a.example.org"]),
        ("web.link_secret", "short"),
        ("web.link_secret", "a" * 40),
        ("web.link_days", 0),
    ],
)
def test_what_could_do_harm_is_refused(setting: str, value: object) -> None:
    assert complaint({setting: value}).startswith(f"{setting}")


def test_what_hosts_need_is_taken() -> None:
    web = settings(
        {
            "web.link_secret": TOKEN,
            "web.embed_origins": ["https://moodle.example.org", "http://localhost:3000"],
            "web.time_zone": "Europe/Berlin",
            "web.imprint_url": "https://example.org/imprint?lang=de",
            "web.proxies": ["127.0.0.1", "2001:db8::/32"],
        }
    ).web

    assert web.embed_origins == ("https://moodle.example.org", "http://localhost:3000")
    assert TOKEN not in repr(web)


def test_a_public_address_needs_a_port() -> None:
    assert complaint({"web.public_host": "0.0.0.0"}).startswith("web.public_port: ")
    assert settings({"web.public_host": "::", "web.public_port": 0}).web.public_port == 0
    assert settings({"web.public_port": 8081}).web.public_host is None
