// SPDX-License-Identifier: GPL-3.0-or-later
// What somebody has to dial and key: out of what BigBlueButton says of a meeting, as values.
// How it is shown is left to `card`, in which words to `words`.

/** What BigBlueButton tells every client of a meeting's telephone side. */
export interface VoiceSettings {
  dialNumber?: string | null;
  telVoice?: string | null;
}

export interface DialIn {
  /** As the operator wrote it, for reading. */
  number: string;
  /** The PIN's digits in groups of three, the last of two to four; joined they are the PIN. */
  pinGroups: string[];
  pin: string;
  /** Dials the number. */
  tel: string;
  /** Dials it, waits, and keys the PIN. */
  oneTap: string;
}

/** What BigBlueButton comes with; its own client shows none of them either. */
const DEFAULT_NUMBERS = new Set(["0", "0000", "613-555-1212", "613-555-1234"]);
const PIN = /^[0-9]{5,11}$/;
const LONGEST_NUMBER = 40;
const GROUP = 3;

/** The way in by telephone, or null where a meeting has none. */
export function dialInOf(voice: VoiceSettings | null | undefined): DialIn | null {
  const number = (voice?.dialNumber ?? "").trim();
  const pin = (voice?.telVoice ?? "").trim();
  const dialled = number.replace(/\(0\)/g, "").replace(/[^0-9+]/g, "");
  const isNumber = /^\+?[0-9]{3,15}$/.test(dialled) && number.length <= LONGEST_NUMBER;
  if (DEFAULT_NUMBERS.has(number) || !isNumber || !PIN.test(pin)) {
    return null;
  }
  const tel = `tel:${dialled}`;
  return { number, pin, pinGroups: groupsOf(pin), tel, oneTap: `${tel},,${pin}%23` };
}

/** Groups of three, the last of two to four, for reading only. */
export function groupsOf(pin: string): string[] {
  const groups: string[] = [];
  let rest = pin;
  while (rest.length > GROUP + 1) {
    groups.push(rest.slice(0, GROUP));
    rest = rest.slice(GROUP);
  }
  return rest ? [...groups, rest] : groups;
}
