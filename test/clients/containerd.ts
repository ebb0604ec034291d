/** containerd and ctr, Debian's and the current one. The store is read where the daemon keeps it. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { layoutArchive, type Image, type Index } from "../support/images.ts";
import { run, runAny, startDaemon } from "../support/process.ts";
import { tool } from "../support/tools.ts";
import { layoutContents, namesIn, numbered, type ImageClient, type ImageSession, type Target } from "./client.ts";

export const ctr: ImageClient = {
  name: "ctr",
  family: "put",
  setup: async (target, folder) => await setup({ daemon: tool("containerd"), cli: tool("ctr") }, target, folder),
};

export const ctr2: ImageClient = {
  name: "ctr-2",
  family: "put",
  setup: async (target, folder) => await setup({ daemon: tool("containerd-2"), cli: tool("ctr-2") }, target, folder),
};

async function setup(
  programs: { readonly daemon: string; readonly cli: string },
  { host, plainHttp, caFile, user }: Target,
  folder: string,
): Promise<ImageSession> {
  const fresh = numbered(folder);
  const at = (name: string): string => path.join(folder, name);
  const socket = at("c.sock");
  await writeFile(
    at("config.toml"),
    [
      "version = 2",
      `root = "${at("root")}"`,
      `state = "${at("state")}"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]',
      `[grpc]\naddress = "${socket}"`,
      `[ttrpc]\naddress = "${at("t.sock")}"`,
    ].join("\n"),
  );
  if (caFile !== undefined) {
    await mkdir(at(`hosts/${host}`), { recursive: true });
    await writeFile(
      at(`hosts/${host}/hosts.toml`),
      `server = "https://${host}"\n[host."https://${host}"]\n  capabilities = ["pull", "resolve", "push"]\n  ca = "${caFile}"\n`,
    );
  }
  const daemon = await startDaemon([programs.daemon, "--config", at("config.toml")], {
    ready: async () => (await runAny([programs.cli, "-a", socket, "version"])).code === 0,
  });
  const images = async (command: string, ...args: string[]): Promise<string> =>
    await run([programs.cli, "-a", socket, "images", command, ...args]);
  const registry = [
    ...(plainHttp ? ["--plain-http"] : ["--hosts-dir", at("hosts")]),
    ...(user === undefined ? [] : ["--user", `${user.name}:${user.password}`]),
  ];
  const load = async (content: Image | Index, reference: string): Promise<void> => {
    const archive = fresh("image");
    await layoutArchive(content.folder, archive, reference);
    await images("import", "--no-unpack", "--all-platforms", archive);
  };
  const push = async (content: Image | Index, reference: string): Promise<void> => {
    await load(content, reference);
    await images("push", ...registry, reference);
  };
  const pullWith = (...options: string[]) => {
    return async (reference: string) => {
      for (const name of (await images("ls", "-q")).split("\n").filter(Boolean)) await images("rm", "--sync", name);
      const kept = await namesIn(at("root/io.containerd.content.v1.content/blobs/sha256"));
      if (kept.length > 0) throw new Error(`the store is not empty before the pull: ${kept.join(", ")}`);
      await images("pull", ...registry, ...options, reference);
      return await layoutContents(at("root/io.containerd.content.v1.content"));
    };
  };
  return {
    push,
    pull: pullWith(),
    pushIndex: push,
    pullIndex: pullWith("--all-platforms"),
    // What was pulled remembers from which repository it came.
    mount: async (_image, from, to) => {
      await images("pull", ...registry, from);
      await images("tag", "--force", from, to);
      await images("push", ...registry, to);
    },
    close: async () => {
      await daemon.stop();
    },
  };
}
