/** Debian's dockerd with its classic store, and a current one with containerd's. Both are used with Debian's docker. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { copyFile } from "node:fs/promises";
import { dockerArchive, layoutArchive, type Image } from "../support/images.ts";
import { run, runAny, startDaemon, withFolders, type Daemon } from "../support/process.ts";
import { containerd2Folder, tool } from "../support/tools.ts";
import {
  archiveContents,
  layoutContents,
  namesIn,
  numbered,
  ownEnvironment,
  type ImageClient,
  type Target,
} from "./client.ts";

const NO_NETWORK = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none"];

/** The daemon sees our folder in the place of /etc/docker, where it looks for the CAs of registries. */
async function start(argv: readonly string[], target: Target, folder: string) {
  const at = (name: string): string => path.join(folder, name);
  const env = await ownEnvironment(folder);
  const socket = `unix://${at("d.sock")}`;
  const docker = tool("docker");
  const certificates = at(`etc/certs.d/${target.host}`);
  await mkdir(certificates, { recursive: true });
  await mkdir("/etc/docker", { recursive: true });
  if (target.caFile !== undefined) await copyFile(target.caFile, path.join(certificates, "ca.crt"));
  const daemon: Daemon = await startDaemon(
    withFolders({ "/etc/docker": at("etc") }, [
      ...argv,
      ...NO_NETWORK,
      ...(target.plainHttp ? ["--insecure-registry", target.host] : []),
      ...["-H", socket, "--data-root", at("data"), "--exec-root", at("exec"), "-p", at("d.pid")],
    ]),
    {
      env: { ...env, PATH: `${containerd2Folder()}:${process.env["PATH"] ?? ""}` },
      ready: async () => (await runAny([docker, "-H", socket, "version"], { env })).code === 0,
    },
  );
  const exec = async (...args: string[]): Promise<string> => await run([docker, "-H", socket, ...args], { env });
  if (target.user !== undefined) {
    await exec("login", target.host, "-u", target.user.name, "-p", target.user.password);
  }
  const removeAll = async (): Promise<void> => {
    const names = (await exec("images", "--format", "{{.Repository}}:{{.Tag}}")).split("\n").filter(Boolean);
    if (names.length > 0) await exec("rmi", "-f", ...names);
  };
  return { daemon, exec, removeAll, at, fresh: numbered(folder) };
}

export const docker: ImageClient = {
  name: "docker",
  family: "patch",
  compresses: true,
  onePlatform: true,
  setup: async (target, folder) => {
    const { daemon, exec, removeAll, fresh } = await start([tool("dockerd"), "--storage-driver=vfs"], target, folder);
    const push = async (image: Image, reference: string): Promise<void> => {
      const archive = fresh("load");
      await dockerArchive(image, `${archive}.d`, archive, reference);
      await exec("load", "-q", "-i", archive);
      await exec("push", "-q", reference);
    };
    return {
      push,
      pull: async (reference) => {
        await removeAll();
        await exec("pull", "-q", reference);
        const saved = fresh("saved");
        await exec("save", "-o", saved, reference);
        return await archiveContents(saved, `${saved}.d`);
      },
      mount: async (_image, from, to) => {
        await exec("pull", "-q", from);
        await exec("tag", from, to);
        await exec("push", "-q", to);
      },
      close: async () => {
        await daemon.stop();
      },
    };
  },
};

export const docker29: ImageClient = {
  name: "docker-29",
  family: "put",
  setup: async (target, folder) => {
    const { daemon, exec, removeAll, at, fresh } = await start(
      [tool("dockerd-29"), "--userland-proxy=false"],
      target,
      folder,
    );
    const store = at("data/containerd/daemon/io.containerd.content.v1.content");
    const load = async ({ folder: layout }: { folder: string }, reference: string): Promise<void> => {
      const archive = fresh("load");
      await layoutArchive(layout, archive, reference);
      await exec("load", "-q", "-i", archive);
    };
    const push = async (content: { folder: string }, reference: string): Promise<void> => {
      await load(content, reference);
      await exec("push", "-q", reference);
    };
    return {
      push,
      pull: async (reference) => {
        await removeAll();
        const kept = await namesIn(path.join(store, "blobs/sha256"));
        if (kept.length > 0) throw new Error(`the store is not empty before the pull: ${kept.join(", ")}`);
        await exec("pull", "-q", reference);
        return await layoutContents(store);
      },
      pushIndex: push,
      mount: async (_image, from, to) => {
        await exec("pull", "-q", from);
        await exec("tag", from, to);
        await exec("push", "-q", to);
      },
      close: async () => {
        await daemon.stop();
      },
    };
  },
};
