/**
 * Builds what is run: one file for each entry point, flat in dist/, so that an entry finds its worker next to it.
 * npm packages stay outside the bundle: a server has its node_modules beside it.
 */
import { build } from "esbuild";

await build({
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
});
