/**
 * Builds what is run: one file for each entry point, flat in dist/, so that an entry finds its worker next to it.
 * npm packages stay outside the bundle: a server has its node_modules beside it.
 *
 * A file changes all at once and only where its content does: a server may be starting from it.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { build } from "esbuild";

const { outputFiles } = await build({
  entryPoints: {
    lading: "bin/lading.ts",
    "bcrypt-worker": "shared/auth/bcrypt-worker.ts",
    "read-worker": "shared/storage/filesystem/read-worker.ts",
  },
  outdir: "dist",
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: true,
  legalComments: "none",
  logLevel: "warning",
  write: false,
});

for (const { path, contents } of outputFiles) {
  if (isWritten(path, contents)) continue;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, contents, { mode: 0o755 });
  renameSync(`${path}.${process.pid}`, path);
}

/**
 * @param {string} path
 * @param {Uint8Array} contents
 */
function isWritten(path, contents) {
  try {
    return readFileSync(path).equals(contents);
  } catch {
    return false;
  }
}
