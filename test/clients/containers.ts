/** skopeo, podman and buildah: one library, three ways of use. */
import { copyFile, mkdir } from "node:fs/promises";
import path from "node:path";
import type { Image, Index } from "../support/images.ts";
import { run, withFolders } from "../support/process.ts";
import { tool } from "../support/tools.ts";
import { archiveContents, layoutContents, numbered, ownEnvironment, type ImageClient, type Target } from "./client.ts";

/** All three remember blobs in one folder of the machine; each session gets one of its own in its place. */
async function prepare(name: string, target: Target, folder: string) {
  const program = tool(name);
  const env = await ownEnvironment(folder);
  const cache = path.join(folder, "cache");
  await mkdir(cache);
  await mkdir("/var/lib/containers", { recursive: true });
  const exec = async (...args: string[]): Promise<string> =>
    await run(withFolders({ "/var/lib/containers": cache }, [program, ...args]), { env });
  const trust = target.plainHttp ? ["--tls-verify=false"] : ["--cert-dir", path.join(folder, "certs")];
  if (target.caFile !== undefined) {
    // A folder with nothing else: what ends in .key would be taken for a client's.
    await mkdir(path.join(folder, "certs"));
    await copyFile(target.caFile, path.join(folder, "certs/ca.crt"));
  }
  return { exec, trust, numbered: numbered(folder) };
}

export const skopeo: ImageClient = {
  name: "skopeo",
  family: "patch",
  setup: async (target, folder) => {
    const { exec, trust, numbered: fresh } = await prepare("skopeo", target, folder);
    const side = (name: string): string[] =>
      trust.map((arg) => (arg.startsWith("--") ? arg.replace("--", `--${name}-`) : arg));
    if (target.user !== undefined) {
      await exec("login", ...trust, "-u", target.user.name, "-p", target.user.password, target.host);
    }
    const copy = async (...args: string[]): Promise<string> => await exec("--insecure-policy", "copy", "-q", ...args);
    return {
      push: async (image, reference) => {
        await copy(...side("dest"), `oci:${image.folder}:v1`, `docker://${reference}`);
      },
      pull: async (reference) => {
        const to = fresh("pulled");
        await copy(...side("src"), `docker://${reference}`, `oci:${to}:v1`);
        return await layoutContents(to);
      },
      pushIndex: async (index, reference) => {
        await copy("--all", ...side("dest"), `oci:${index.folder}:v1`, `docker://${reference}`);
      },
      pullIndex: async (reference) => {
        const to = fresh("pulled");
        await copy("--all", ...side("src"), `docker://${reference}`, `oci:${to}:v1`);
        return await layoutContents(to);
      },
      mount: async (_image, from, to) => {
        await copy(...side("src"), ...side("dest"), `docker://${from}`, `docker://${to}`);
      },
      list: async (repository) => {
        const found = JSON.parse(await exec("list-tags", ...trust, `docker://${repository}`)) as { Tags: string[] };
        return found.Tags;
      },
      remove: async (reference) => {
        await exec("delete", ...trust, `docker://${reference}`);
      },
    };
  },
};

export const podman: ImageClient = {
  name: "podman",
  family: "patch",
  compresses: true,
  setup: async (target, folder) => {
    const { exec, trust, numbered: fresh } = await prepare("podman", target, folder);
    const options = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"];
    const podmanIn = (place: string) => {
      const store = ["--root", path.join(place, "root"), "--runroot", path.join(place, "run")];
      return async (...args: string[]): Promise<string> => await exec(...store, ...options, ...args);
    };
    const own = podmanIn(path.join(folder, "store"));
    const ids = new Map<Image, string>();
    if (target.user !== undefined) {
      await own("login", ...trust, "-u", target.user.name, "-p", target.user.password, target.host);
    }
    const push = async (image: Image, reference: string): Promise<void> => {
      const id = ids.get(image) ?? (await own("pull", "-q", `oci:${image.folder}:v1`)).trim();
      ids.set(image, id);
      await own("tag", id, reference);
      await own("push", "-q", ...trust, reference);
    };
    return {
      push,
      pull: async (reference) => {
        const place = fresh("cold");
        const cold = podmanIn(place);
        await cold("pull", "-q", ...trust, reference);
        const file = path.join(place, "saved.tar");
        await cold("save", "-q", "--format", "docker-archive", "-o", file, reference);
        return await archiveContents(file, path.join(place, "saved"));
      },
      pushIndex: async (index, reference) => {
        await own("manifest", "create", reference);
        await addImages(own, reference, index);
        await own("manifest", "push", "-q", "--all", ...trust, reference, `docker://${reference}`);
      },
      mount: async (image, _from, to) => await push(image, to),
      // `search` cannot be given a CA.
      ...(target.plainHttp
        ? {
            list: async (repository: string) => {
              const found = await own("search", "--list-tags", "--format", "json", ...trust, repository);
              return (JSON.parse(found) as { Tags: string[] }[]).flatMap(({ Tags }) => Tags);
            },
          }
        : {}),
    };
  },
};

export const buildah: ImageClient = {
  name: "buildah",
  family: "patch",
  compresses: true,
  setup: async (target, folder) => {
    const { exec, trust, numbered: fresh } = await prepare("buildah", target, folder);
    const buildahIn = (place: string) => {
      const store = ["--root", path.join(place, "root"), "--runroot", path.join(place, "run")];
      return async (...args: string[]): Promise<string> => await exec(...store, "--storage-driver", "vfs", ...args);
    };
    const own = buildahIn(path.join(folder, "store"));
    const ids = new Map<Image, string>();
    if (target.user !== undefined) {
      await own("login", ...trust, "-u", target.user.name, "-p", target.user.password, target.host);
    }
    const push = async (image: Image, reference: string): Promise<void> => {
      const id = ids.get(image) ?? (await own("pull", "-q", `oci:${image.folder}:v1`)).trim();
      ids.set(image, id);
      await own("tag", id, reference);
      await own("push", "-q", ...trust, reference, `docker://${reference}`);
    };
    return {
      push,
      pull: async (reference) => {
        const place = fresh("cold");
        const cold = buildahIn(place);
        await cold("pull", "-q", ...trust, reference);
        const file = path.join(place, "saved.tar");
        await cold("push", "-q", reference, `docker-archive:${file}`);
        return await archiveContents(file, path.join(place, "saved"));
      },
      pushIndex: async (index, reference) => {
        await own("manifest", "create", reference);
        await addImages(own, reference, index);
        await own("manifest", "push", "-q", "--all", ...trust, reference, `docker://${reference}`);
      },
      mount: async (image, _from, to) => await push(image, to),
    };
  },
};

/** Adds both platforms of an index to a list of podman's or buildah's own. */
async function addImages(own: (...args: string[]) => Promise<string>, list: string, index: Index): Promise<void> {
  await own("manifest", "add", "--all", list, `oci:${index.folder}:v1`);
}
