import { readFile } from "node:fs/promises";
import path from "node:path";
import { run } from "../support/process.ts";
import { tool } from "../support/tools.ts";
import { layoutContents, linesOf, numbered, ownEnvironment, type ImageClient } from "./client.ts";

export const regctl: ImageClient = {
  name: "regctl",
  family: "put",
  setup: async ({ host, plainHttp, caFile, user }, folder) => {
    const program = tool("regctl");
    const fresh = numbered(folder);
    const env = { ...(await ownEnvironment(folder)), REGCTL_CONFIG: path.join(folder, "regctl.json") };
    const exec = async (...args: string[]): Promise<string> => await run([program, ...args], { env });
    const trust = plainHttp ? ["--tls", "disabled"] : ["--cacert", await readFile(caFile ?? "", "utf8")];
    await exec("registry", "set", "--skip-check", ...trust, host);
    if (user !== undefined) await exec("registry", "login", host, "-u", user.name, "-p", user.password);
    const push = async (from: { folder: string }, reference: string): Promise<void> => {
      await exec("image", "copy", `ocidir://${from.folder}:v1`, reference);
    };
    const pull = async (reference: string) => {
      const to = fresh("pulled");
      await exec("image", "copy", reference, `ocidir://${to}:v1`);
      return await layoutContents(to);
    };
    return {
      push,
      pull,
      pushIndex: push,
      pullIndex: pull,
      mount: async (_image, from, to) => {
        await exec("image", "copy", from, to);
      },
      list: async (repository) => linesOf(await exec("tag", "ls", repository)),
      remove: async (reference) => {
        await exec("manifest", "delete", "--force-tag-dereference", reference);
      },
    };
  },
};
