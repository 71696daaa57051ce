// SPDX-License-Identifier: GPL-3.0-or-later
// What is dialled and keyed, out of whatever a meeting says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { dialInOf, groupsOf } from "../src/dial-in";

test("number and PIN become links and groups", () => {
  assert.deepEqual(dialInOf({ dialNumber: "+49 30 231-25 100", telVoice: "123456789" }), {
    number: "+49 30 231-25 100",
    pin: "123456789",
    pinGroups: ["123", "456", "789"],
    tel: "tel:+493023125100",
    oneTap: "tel:+493023125100,,123456789%23",
  });
});

test("a zero for national callers is read and not dialled", () => {
  assert.equal(
    dialInOf({ dialNumber: "+49 (0)30 23125100", telVoice: "12345" })?.tel,
    "tel:+493023125100",
  );
});

test("leading zeros of a PIN count", () => {
  assert.equal(dialInOf({ dialNumber: "03023125100", telVoice: "00042" })?.pin, "00042");
});

for (const dialNumber of ["0", "0000", "613-555-1212", "613-555-1234", "", " ", null, undefined,
  "call us", "<b>+49</b>", "javascript:alert(1)", `+49${"0".repeat(60)}`]) {
  test(`there is no way in by ${dialNumber}`, () => {
    assert.equal(dialInOf({ dialNumber, telVoice: "123456789" }), null);
  });
}

for (const telVoice of ["", "1234", "123456789012", "12a45", "１２３４５", null, undefined]) {
  test(`there is no way in with the PIN ${telVoice}`, () => {
    assert.equal(dialInOf({ dialNumber: "+493023125100", telVoice }), null);
  });
}

test("before anything is known there is no way in", () => {
  assert.equal(dialInOf(undefined), null);
  assert.equal(dialInOf(null), null);
});

test("groups have three digits, the last two to four, and lose none", () => {
  const sizes: Record<number, number[]> = {
    5: [3, 2], 6: [3, 3], 7: [3, 4], 8: [3, 3, 2], 9: [3, 3, 3], 10: [3, 3, 4], 11: [3, 3, 3, 2],
  };
  for (const [length, expected] of Object.entries(sizes)) {
    const pin = "01234567890".slice(0, Number(length));
    assert.deepEqual(groupsOf(pin).map((group) => group.length), expected);
    assert.equal(groupsOf(pin).join(""), pin);
  }
});
