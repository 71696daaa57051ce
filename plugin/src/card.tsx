// SPDX-License-Identifier: GPL-3.0-or-later
// The card that shows number and PIN. It asks no server and knows nothing of the plugin interface.

import { useState } from "react";
import type { CSSProperties } from "react";

import type { DialIn } from "./dial-in";
import { qrCodeOf } from "./qr";
import type { Words } from "./words";

interface CardProps {
  dialIn: DialIn;
  words: Words;
  onClose: () => void;
  /** Writes to the clipboard; rejects where that is not allowed. */
  copy: (text: string) => Promise<void>;
}

export function Card({ dialIn, words, onClose, copy }: CardProps) {
  const [told, setTold] = useState("");
  const code = qrCodeOf(dialIn.oneTap);
  const copyInvitation = () => {
    copy(words.invitation(dialIn.number, dialIn.pin)).then(
      () => setTold(words.copied),
      () => setTold(words.copyFailed),
    );
  };
  return (
    <section aria-labelledby="dialin-title" style={styles.card} data-test="dialinCard">
      <header style={styles.header}>
        <h2 id="dialin-title" style={styles.title}>{words.title}</h2>
        <button type="button" onClick={onClose} aria-label={words.close} style={styles.close}>
          ×
        </button>
      </header>
      <dl style={styles.facts}>
        <dt style={styles.label}>{words.call}</dt>
        <dd style={styles.fact}>
          <a href={dialIn.tel} style={styles.number}>{dialIn.number}</a>
        </dd>
        <dt style={styles.label}>{words.key}</dt>
        <dd style={styles.fact}>
          <span style={styles.pin} data-test="dialinPin">
            {dialIn.pinGroups.map((group, index) => (
              // Gaps are drawn, not written, so that copying gives digits only.
              <span key={index} style={index ? styles.gap : undefined}>{group}</span>
            ))}
          </span>{" "}
          <span style={styles.then}>{words.then}</span>
        </dd>
      </dl>
      <svg
        role="img"
        aria-label={words.qr}
        viewBox={`0 0 ${code.size} ${code.size}`}
        style={styles.code}
        shapeRendering="crispEdges"
      >
        <rect width={code.size} height={code.size} fill="#fff" />
        <path d={code.path} fill="#000" />
      </svg>
      <p style={styles.actions}>
        <a href={dialIn.oneTap} style={styles.action}>{words.oneTap}</a>
        <button type="button" onClick={copyInvitation} style={styles.action}>{words.copy}</button>
      </p>
      <p role="status" style={styles.told}>{told}</p>
      <h3 style={styles.subtitle}>{words.keys}</h3>
      <dl style={styles.keys}>
        {words.keyHelp.map(([key, meaning]) => (
          <div key={key} style={styles.keyRow}>
            <dt><kbd style={styles.kbd}>{key}</kbd></dt>
            <dd style={styles.keyMeaning}>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p style={styles.privacy}>{words.privacy}</p>
    </section>
  );
}

const INK = "#1b2a3a";
const BLUE = "#0b57a4";
const styles: Record<string, CSSProperties> = {
  card: { width: 300, padding: 20, color: INK, background: "#fff", fontFamily: "inherit", borderRadius: 12, lineHeight: 1.4 },
  header: { display: "flex", justifyContent: "space-between", alignItems: "start" },
  title: { fontSize: 18, margin: 0, fontWeight: 600 },
  close: { border: 0, background: "none", color: INK, fontSize: 24, lineHeight: 1, width: 32, height: 32, cursor: "pointer" },
  facts: { margin: "12px 0" },
  label: { fontSize: 13, color: "#4a5b6c", fontWeight: 400 },
  fact: { margin: "0 0 10px" },
  number: { fontSize: 20, fontWeight: 600, color: BLUE },
  pin: { fontSize: 22, fontWeight: 600, fontVariantNumeric: "tabular-nums" },
  gap: { marginLeft: "0.3em" },
  then: { fontSize: 14, color: "#4a5b6c" },
  code: { display: "block", width: 150, height: 150, margin: "0 auto" },
  actions: { display: "flex", gap: 8, margin: "12px 0 0", flexWrap: "wrap" },
  action: { flex: "1 1 auto", textAlign: "center", padding: "8px 10px", border: `1px solid ${BLUE}`, borderRadius: 8, background: "#fff", color: BLUE, fontSize: 14, fontFamily: "inherit", textDecoration: "none", cursor: "pointer" },
  told: { minHeight: 20, margin: "6px 0", fontSize: 13 },
  subtitle: { fontSize: 14, margin: "0 0 6px", fontWeight: 600 },
  keys: { margin: 0, fontSize: 14 },
  keyRow: { display: "flex", gap: 10, margin: "0 0 4px" },
  kbd: { display: "inline-block", minWidth: 32, fontFamily: "inherit", fontWeight: 600 },
  keyMeaning: { margin: 0 },
  privacy: { fontSize: 13, color: "#4a5b6c", margin: "10px 0 0" },
};
