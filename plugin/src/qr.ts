// SPDX-License-Identifier: GPL-3.0-or-later
// A text as a QR code: one SVG path, made here, so that no server is asked for it.

import qrcode from "qrcode-generator";

export interface QrCode {
  /** Modules on each side, the quiet zone included. */
  size: number;
  /** Path of the dark modules, one unit each. */
  path: string;
}

/** ISO/IEC 18004 wants four light modules around. */
const QUIET = 4;

export function qrCodeOf(text: string): QrCode {
  const code = qrcode(0, "Q");
  code.addData(text, "Byte");
  code.make();
  const count = code.getModuleCount();
  let path = "";
  for (let row = 0; row < count; row += 1) {
    for (let column = 0; column < count; column += 1) {
      if (code.isDark(row, column)) {
        path += `M${column + QUIET} ${row + QUIET}h1v1h-1z`;
      }
    }
  }
  return { size: count + 2 * QUIET, path };
}
