import { run } from "../support/process.ts";
import { tool } from "../support/tools.ts";
import { layoutContents, linesOf, numbered, ownEnvironment, type ImageClient } from "./client.ts";

export const crane: ImageClient = {
  name: "crane",
  family: "patch",
  setup: async ({ host, caFile, user }, folder) => {
    const program = tool("crane");
    const fresh = numbered(folder);
    const env = {
      ...(await ownEnvironment(folder)),
      ...(caFile === undefined ? {} : { SSL_CERT_FILE: caFile }),
    };
    const exec = async (...args: string[]): Promise<string> => await run([program, ...args], { env });
    if (user !== undefined) await exec("auth", "login", host, "-u", user.name, "-p", user.password);
    const pull = async (reference: string) => {
      const to = fresh("pulled");
      await exec("pull", "--format=oci", reference, to);
      return await layoutContents(to);
    };
    return {
      push: async (image, reference) => {
        await exec("push", image.folder, reference);
      },
      pull,
      pushIndex: async (index, reference) => {
        await exec("push", index.folder, reference);
      },
      pullIndex: pull,
      mount: async (_image, from, to) => {
        await exec("copy", from, to);
      },
      list: async (repository) => linesOf(await exec("ls", repository)),
      remove: async (reference) => {
        const digest = (await exec("digest", reference)).trim();
        await exec("delete", `${reference.slice(0, reference.lastIndexOf(":"))}@${digest}`);
      },
    };
  },
};
