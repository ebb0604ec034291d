/**
 * Builds what is run.
 *
 * `dist/`: one file for each entry point, flat, so that an entry finds its worker next to it. npm packages stay outside the
 * bundle: a server has its node_modules beside it.
 *
 * `dist/functions/`: a folder for each function, as it is zipped and deployed, with all that it needs.
 *
 * A file changes all at once and only where its content does: a server may be starting from it.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { build } from "esbuild";

const workers = {
  "bcrypt-worker": "shared/auth/bcrypt-worker.ts",
  "hash-worker": "shared/oci/hash-worker.ts",
  "read-worker": "shared/storage/filesystem/read-worker.ts",
};

/** @satisfies {import("esbuild").BuildOptions} */
const common = {
  bundle: true,
  platform: "node",
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  write: false,
};

/**
 * @param {Record<string, string>} entryPoints
 * @param {string} outdir
 * @param {string} extension
 */
const functionBuild = async (entryPoints, outdir, extension = ".js") =>
  await build({
    ...common,
    entryPoints,
    outdir,
    outExtension: { ".js": extension },
    minify: true,
    target: "node24",
    // Packages in CommonJS ask for Node's own modules with require. The names are longer than any of the minifier's.
    banner: { js: `import{createRequire as makeRequire}from"node:module";const require=makeRequire(import.meta.url);` },
  });

const built = await Promise.all([
  build({
    ...common,
    entryPoints: { lading: "bin/lading.ts", ...workers },
    outdir: "dist",
    packages: "external",
    target: "node20",
    sourcemap: true,
  }),
  functionBuild({ index: "bin/registry-function.ts" }, "dist/functions/registry", ".mjs"),
  functionBuild(workers, "dist/functions/registry"),
  functionBuild({ index: "bin/upload-function.ts", ...workers }, "dist/functions/uploads"),
  functionBuild({ index: "bin/gc-function.ts" }, "dist/functions/gc", ".mjs"),
  functionBuild(workers, "dist/functions/gc"),
  functionBuild({ index: "bin/secrets-function.ts" }, "dist/functions/secrets", ".mjs"),
]);

for (const { path, contents } of built.flatMap(({ outputFiles }) => outputFiles)) write(path, contents);
for (const name of ["registry", "uploads", "gc", "secrets"]) {
  write(`dist/functions/${name}/package.json`, Buffer.from('{ "type": "module" }\n'));
}

/**
 * @param {string} path
 * @param {Uint8Array} contents
 */
function write(path, contents) {
  if (isWritten(path, contents)) return;
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
