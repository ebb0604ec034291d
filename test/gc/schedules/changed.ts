/** The code with some of its text replaced. */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";
import type * as Stories from "./source-stories.ts";

/** Below the project: packages are found from there. */
const CACHE = ".cache";

/** Bundles the stories with code that is changed so, and gives them to `work`. Throws where a text is not there exactly once. */
export async function withChanged<T>(
  changes: readonly Stories.Change[],
  work: (stories: typeof Stories) => Promise<T>,
): Promise<T> {
  const made = new Set<Stories.Change>();
  const plugin: Plugin = {
    name: "changes",
    setup: (bundle) => {
      bundle.onLoad({ filter: /\.ts$/ }, async ({ path: file }) => {
        let contents = await readFile(file, "utf8");
        for (const change of changes.filter((one) => path.resolve(one.file) === file)) {
          const [before, after, ...more] = contents.split(change.from);
          if (before === undefined || after === undefined || more.length > 0) {
            throw new Error(`not there exactly once, in ${change.file}: ${change.from}`);
          }
          contents = `${before}${change.to}${after}`;
          made.add(change);
        }
        return { contents, loader: "ts" };
      });
    },
  };
  await mkdir(CACHE, { recursive: true });
  const folder = await mkdtemp(path.join(CACHE, "changed-"));
  try {
    const outfile = path.resolve(folder, "stories.js");
    await build({
      entryPoints: ["test/gc/schedules/source-stories.ts"],
      outfile,
      bundle: true,
      platform: "node",
      format: "esm",
      packages: "external",
      plugins: [plugin],
      logLevel: "silent",
    });
    const missed = changes.find((change) => !made.has(change));
    if (missed !== undefined) throw new Error(`not in use: ${missed.file}`);
    return await work((await import(pathToFileURL(outfile).href)) as typeof Stories);
  } finally {
    await rm(folder, { recursive: true });
  }
}
