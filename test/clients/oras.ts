import path from "node:path";
import { run } from "../support/process.ts";
import { tool } from "../support/tools.ts";
import { layoutContents, linesOf, numbered, ownEnvironment, type ImageClient, type Target } from "./client.ts";

/** Runs oras signed in, and gives the options that it needs for this registry. */
export async function prepareOras({ host, plainHttp, caFile, user }: Target, folder: string) {
  const program = tool("oras");
  const env = await ownEnvironment(folder);
  const exec = async (args: readonly string[], cwd?: string): Promise<string> =>
    await run([program, ...args], { env, ...(cwd === undefined ? {} : { cwd }) });
  const trust = plainHttp ? ["--plain-http"] : ["--ca-file", caFile ?? ""];
  if (user !== undefined) await exec(["login", host, "-u", user.name, "-p", user.password, ...trust]);
  return { exec, trust };
}

export const oras: ImageClient = {
  name: "oras",
  family: "put",
  staysOnHost: true,
  setup: async (target, folder) => {
    const { exec, trust } = await prepareOras(target, folder);
    const fresh = numbered(folder);
    const side = (name: string): string[] =>
      trust.map((arg) => (arg.startsWith("--") ? arg.replace("--", `--${name}-`) : arg));
    const push = async (from: { folder: string }, reference: string): Promise<void> => {
      await exec(["cp", "--no-tty", "--from-oci-layout", `${from.folder}:v1`, ...side("to"), reference]);
    };
    const pull = async (reference: string) => {
      const to = fresh("pulled");
      await exec(["cp", "--no-tty", ...side("from"), reference, "--to-oci-layout", `${path.resolve(to)}:v1`]);
      return await layoutContents(to);
    };
    return {
      push,
      pull,
      pushIndex: push,
      pullIndex: pull,
      mount: async (_image, from, to) => {
        await exec(["cp", "--no-tty", ...side("from"), ...side("to"), from, to]);
      },
      list: async (repository) => linesOf(await exec(["repo", "tags", ...trust, repository])),
      remove: async (reference) => {
        await exec(["manifest", "delete", "-f", ...trust, reference]);
      },
    };
  },
};
