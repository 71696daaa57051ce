// SPDX-License-Identifier: GPL-3.0-or-later
// What the card shows, as HTML.

import assert from "node:assert/strict";
import { test } from "node:test";
import { renderToStaticMarkup } from "react-dom/server";

import { Card } from "../src/card";
import { dialInOf } from "../src/dial-in";
import { qrCodeOf } from "../src/qr";
import { wordsFor } from "../src/words";

const dialIn = dialInOf({ dialNumber: "+49 30 23125100", telVoice: "123456789" });
assert.ok(dialIn);

function shown(locale: string): string {
  assert.ok(dialIn);
  return renderToStaticMarkup(
    <Card dialIn={dialIn} words={wordsFor(locale)} onClose={() => {}} copy={async () => {}} />,
  );
}

test("copying the PIN gives digits only", () => {
  const text = shown("en").replace(/<[^>]+>/g, "");
  assert.match(text, /123456789 then #/);
});

test("the number is the text of its link", () => {
  assert.match(shown("en"), /<a href="tel:\+493023125100"[^>]*>\+49 30 23125100<\/a>/);
});

test("German is spoken where it is wanted, English elsewhere", () => {
  assert.match(shown("de-AT"), /Per Telefon teilnehmen/);
  assert.match(shown("fr"), /Join by phone/);
});

test("every word of one language is there in the other", () => {
  assert.deepEqual(Object.keys(wordsFor("de")).sort(), Object.keys(wordsFor("en")).sort());
  assert.equal(wordsFor("de").keyHelp.length, wordsFor("en").keyHelp.length);
});

test("nothing is fetched from anywhere", () => {
  assert.doesNotMatch(shown("de"), /https?:|src=/);
});

test("the code has a quiet zone, and a text of its own", () => {
  const code = qrCodeOf(dialIn.oneTap);
  assert.ok(code.size >= 21 + 8);
  const places = [...code.path.matchAll(/M(\d+) (\d+)h1v1h-1z/g)];
  assert.ok(places.length > 100);
  assert.ok(places.every((place) => [1, 2].every((axis) => {
    const at = Number(place[axis]);
    return at >= 4 && at < code.size - 4;
  })));
  assert.match(shown("en"), /role="img" aria-label="QR code that dials/);
});
