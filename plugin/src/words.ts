// SPDX-License-Identifier: GPL-3.0-or-later
// The words of the plugin, in English and German.

export interface Words {
  title: string;
  call: string;
  key: string;
  then: string;
  oneTap: string;
  copy: string;
  copied: string;
  copyFailed: string;
  close: string;
  qr: string;
  keys: string;
  keyHelp: [string, string][];
  privacy: string;
  phone: string;
  invitation: (number: string, pin: string) => string;
}

const EN: Words = {
  title: "Join by phone",
  call: "Call",
  key: "Key the PIN",
  then: "then #",
  oneTap: "Call with PIN",
  copy: "Copy invitation",
  copied: "Copied",
  copyFailed: "Copying is not allowed here: select the text instead.",
  close: "Close",
  qr: "QR code that dials the number and keys the PIN",
  keys: "Keys in the call",
  keyHelp: [
    ["*6", "mute and unmute"],
    ["*9", "raise and lower the hand"],
    ["*1", "help"],
    ["*0", "another room"],
  ],
  privacy: "Others see no more of the caller's number than its last four digits.",
  phone: "by phone",
  invitation: (number, pin) => `Join by phone: call ${number}\nPIN: ${pin}#`,
};

const DE: Words = {
  title: "Per Telefon teilnehmen",
  call: "Anrufen",
  key: "PIN eingeben",
  then: "dann #",
  oneTap: "Mit PIN anrufen",
  copy: "Einladung kopieren",
  copied: "Kopiert",
  copyFailed: "Kopieren ist hier nicht erlaubt: Bitte markieren Sie den Text.",
  close: "Schließen",
  qr: "QR-Code, der die Nummer wählt und die PIN eingibt",
  keys: "Tasten im Gespräch",
  keyHelp: [
    ["*6", "Mikrofon aus und an"],
    ["*9", "Hand heben und senken"],
    ["*1", "Hilfe"],
    ["*0", "anderer Raum"],
  ],
  privacy: "Andere sehen von der Nummer höchstens die letzten vier Ziffern.",
  phone: "per Telefon",
  invitation: (number, pin) => `Per Telefon teilnehmen: ${number} anrufen\nPIN: ${pin}#`,
};

/** The words for a language tag such as `de-AT`; English for what there are none for. */
export function wordsFor(locale: string): Words {
  return locale.toLowerCase().split(/[-_]/)[0] === "de" ? DE : EN;
}
