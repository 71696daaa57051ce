# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin for BigBlueButton's client, built, in a browser, with a stand-in for the client.

The stand-in speaks the events of bigbluebutton-html-plugin-sdk and keeps what the plugin sets.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

pytestmark = pytest.mark.e2e

PLUGIN = Path(__file__).parent.parent.parent / "plugin"
CHROMIUM = shutil.which("chromium") or ""
NUMBER, PIN = "+49 30 23125100", "123456789"

CLIENT = """
window.items = {};
const keep = (name) => (items) => { window.items[name] = items; return items.map(() => "id"); };
window.bbb_plugins = { one: {
  pluginName: "DialinPlugin",
  setOptionsDropdownItems: keep("options"),
  setAudioSettingsDropdownItems: keep("audio"),
  setFloatingWindows: (windows) => {
    document.querySelectorAll(".window").forEach((each) => each.remove());
    for (const each of windows) {
      const place = document.createElement("div");
      place.className = "window";
      place.style.cssText = `position: fixed; top: ${each.top}px; left: ${each.left}px`;
      document.body.append(place);
      each.contentFunction(place);
    }
  },
} };
const meeting = { name: "m", voiceSettings: VOICE };
window.addEventListener("PLUGIN_SUBSCRIBED_TO_BBB_CORE", (event) => {
  if (event.detail.hook !== "Hooks::UseMeetingData") return;
  const detail = { hook: event.detail.hook, data: { loading: false, data: meeting } };
  window.dispatchEvent(new CustomEvent("BBB_CORE_SENT_NEW_DATA", { detail }));
});
"""


@pytest.fixture(scope="module")
def script() -> str:
    """The plugin as it is built."""
    subprocess.run([PLUGIN.parent / "scripts" / "plugin"], check=True, timeout=300)
    return (PLUGIN / "dist" / "DialinPlugin.js").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        yield running
        running.close()


def client(browser: Browser, script: str, voice: str, language: str = "en") -> Page:
    """A client whose meeting says this of its voice conference, with the plugin in it."""
    page = browser.new_page(viewport={"width": 900, "height": 760})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(
        f'<html lang="{language}"><body style="font-family: sans-serif"><div id="one"></div></body>'
    )
    page.evaluate(CLIENT.replace("VOICE", voice))
    page.evaluate(
        """(text) => {
            const script = document.createElement("script");
            script.setAttribute("uuid", "one");
            script.setAttribute("pluginName", "DialinPlugin");
            script.textContent = text;
            document.body.append(script);
        }""",
        script,
    )
    assert asked == []
    return page


def voice(number: str = NUMBER, pin: str = PIN) -> str:
    return f'{{dialNumber: "{number}", telVoice: "{pin}"}}'


@pytest.mark.parametrize(
    ("language", "label"), [("en", "Join by phone"), ("de", "Per Telefon teilnehmen")]
)
def test_the_menus_have_an_entry_that_opens_the_card(
    browser: Browser, script: str, language: str, label: str, tmp_path: Path
) -> None:
    page = client(browser, script, voice(), language)
    page.wait_for_function("window.items.options && window.items.options.length === 1")
    assert page.evaluate("window.items.options[0].label") == label
    assert page.evaluate("window.items.audio.length") == 1

    page.evaluate("window.items.options[0].onClick()")
    card = page.locator("[data-test=dialinCard]")
    card.wait_for(timeout=5000)
    assert card.get_by_role("link", name=NUMBER).get_attribute("href") == "tel:+493023125100"
    page.evaluate(
        """() => {
            const pin = document.querySelector("[data-test=dialinPin]");
            getSelection().selectAllChildren(pin);
        }"""
    )
    assert page.evaluate("getSelection().toString()") == PIN
    page.screenshot(path=str(tmp_path / f"card-{language}.png"))

    card.get_by_role("button", name="Close" if language == "en" else "Schließen").click()
    card.wait_for(state="detached", timeout=5000)


@pytest.mark.parametrize(
    "said", [voice(number="613-555-1234"), voice(pin=""), "null", "{dialNumber: '<script>'}"]
)
def test_without_a_way_in_there_is_no_entry(browser: Browser, script: str, said: str) -> None:
    page = client(browser, script, said)
    page.wait_for_function("window.items.options !== undefined")
    page.wait_for_timeout(200)
    assert page.evaluate("window.items.options.length") == 0


def test_a_copied_invitation_holds_number_and_pin(browser: Browser, script: str) -> None:
    page = client(browser, script, voice())
    page.evaluate(
        """() => Object.defineProperty(navigator, "clipboard", {
            value: { writeText: async (text) => { window.copied = text; } },
        })"""
    )
    page.wait_for_function("window.items.options && window.items.options.length === 1")
    page.evaluate("window.items.options[0].onClick()")
    page.get_by_role("button", name="Copy invitation").click()
    page.get_by_text("Copied").wait_for(timeout=5000)
    assert page.evaluate("window.copied") == f"Join by phone: call {NUMBER}\nPIN: {PIN}#"
