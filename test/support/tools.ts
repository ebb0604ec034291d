/** The programs that test/tools/install.sh installs. One that is missing fails the test that wants it. */
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

const TOOLS = process.env["LADING_TOOLS"] ?? path.join(homedir(), ".cache/lading-tools");

/** Debian's programs by their folder: a program of the same name may come first in the PATH. */
const DEBIAN: Readonly<Record<string, string>> = {
  skopeo: "/usr/bin",
  podman: "/usr/bin",
  buildah: "/usr/bin",
  docker: "/usr/bin",
  dockerd: "/usr/sbin",
  containerd: "/usr/bin",
  ctr: "/usr/bin",
  "docker-registry": "/usr/bin",
  nginx: "/usr/sbin",
  radosgw: "/usr/bin",
};

/** The path of a program. */
export function tool(name: string): string {
  const file = path.join(DEBIAN[name] ?? path.join(TOOLS, "bin"), name);
  try {
    accessSync(file, constants.X_OK);
  } catch {
    throw new Error(`${name} is not installed (no program ${file}): run test/tools/install.sh`);
  }
  return file;
}

/** The folder with containerd 2 under the names that dockerd looks for. */
export function containerd2Folder(): string {
  tool("containerd-2");
  return path.join(TOOLS, "containerd-2");
}

/** What the suites with real clients and real registries need. */
export const PROGRAMS = [
  ...["skopeo", "podman", "buildah", "docker", "dockerd", "containerd", "ctr", "docker-registry", "nginx"],
  ...["crane", "oras", "regctl", "helm", "cosign", "containerd-2", "ctr-2", "dockerd-29", "registry-3"],
] as const;

/** The object stores that the suites on S3 run on. */
export const S3_SERVERS = ["versitygw", "radosgw"] as const;

export type ToolName =
  (typeof PROGRAMS)[number] | (typeof S3_SERVERS)[number] | "node-24" | "conformance-main" | "conformance-v1.1.1";

/** Those of the programs that are not installed. */
export function missingTools(names: readonly ToolName[]): ToolName[] {
  return names.filter((name) => {
    try {
      tool(name);
      return false;
    } catch {
      return true;
    }
  });
}

/** The Node that Lambda runs. */
export function nodeTool(): string {
  return tool("node-24");
}
