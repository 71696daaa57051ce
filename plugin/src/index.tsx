// SPDX-License-Identifier: GPL-3.0-or-later
// Where BigBlueButton's client begins to run the plugin: it names an element of the page for it.

import { createRoot } from "react-dom/client";

import { Plugin } from "./plugin";

const script = document.currentScript;
const uuid = script?.getAttribute("uuid") ?? "root";
const place = document.getElementById(uuid);
if (place) {
  createRoot(place).render(
    <Plugin uuid={uuid} name={script?.getAttribute("pluginName") ?? "DialinPlugin"} />,
  );
}
