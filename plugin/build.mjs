// SPDX-License-Identifier: GPL-3.0-or-later
// Makes dist/: the plugin in one file, and its manifest with the hash of that file.
// With --tests it makes out/ instead: the tests, for node's own test runner.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const common = { bundle: true, jsx: "automatic", logLevel: "warning" };

if (process.argv.includes("--tests")) {
  rmSync("out", { recursive: true, force: true });
  await build({
    ...common,
    entryPoints: readdirSync("test").map((name) => `test/${name}`),
    outdir: "out",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    format: "esm",
    packages: "external",
  });
} else {
  rmSync("dist", { recursive: true, force: true });
  mkdirSync("dist");
  await build({
    ...common,
    entryPoints: ["src/index.tsx"],
    outfile: "dist/DialinPlugin.js",
    platform: "browser",
    format: "iife",
    target: "es2020",
    minify: true,
    legalComments: "linked",
    define: { "process.env.NODE_ENV": '"production"' },
  });
  const hash = createHash("sha384").update(readFileSync("dist/DialinPlugin.js")).digest("base64");
  const manifest = JSON.parse(readFileSync("manifest.json", "utf8"));
  manifest.javascriptEntrypointIntegrity = `sha384-${hash}`;
  writeFileSync("dist/manifest.json", `${JSON.stringify(manifest, null, 2)}\n`);
}
