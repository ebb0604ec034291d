/** Pulls by clients that nobody has signed in, where anybody may pull and users push (`auth.anonymous: pull`). */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeImage, type Image } from "../support/images.ts";
import { startLading, type Lading, type LoggedRequest } from "../support/lading.ts";
import { scratchFolder } from "../support/scratch.ts";
import type { ImageClient, ImageSession } from "./client.ts";
import { ctr, ctr2 } from "./containerd.ts";
import { buildah, podman, skopeo } from "./containers.ts";
import { crane } from "./crane.ts";
import { docker, docker29 } from "./docker.ts";
import { expectPulled } from "./image-suite.ts";
import { oras } from "./oras.ts";
import { regctl } from "./regctl.ts";

let folder: string;
let server: Lading;
let image: Image;
const reference = (): string => `${server.host}/team/app:v1`;
beforeAll(async () => {
  folder = await scratchFolder("anonymous");
  const own = path.join(folder, "server");
  await mkdir(own);
  server = await startLading({ folder: own, signIn: "htpasswd", anonymousPull: true });
  image = await makeImage(path.join(folder, "image"));
  const home = path.join(folder, "pusher");
  await mkdir(home);
  await (await skopeo.setup(server, home)).push(image, reference());
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A client of its own that nobody has signed in. */
const nobody = async (
  client: ImageClient,
  work: (session: ImageSession) => Promise<void>,
): Promise<LoggedRequest[]> => {
  const home = path.join(folder, `${client.name}-${String(homes++)}`);
  await mkdir(home);
  const session = await client.setup({ ...server, user: undefined }, home);
  try {
    return await server.during(async () => await work(session));
  } finally {
    await session.close?.();
  }
};
let homes = 0;

/** Those that ask at /v2/ first are told there to sign in, and go on without. */
const PULLING: readonly (readonly [client: ImageClient, asksFirst: boolean])[] = [
  [crane, true],
  [skopeo, true],
  [podman, true],
  [buildah, true],
  [docker29, false],
  [ctr, false],
  [ctr2, false],
  [oras, false],
  [regctl, false],
];

describe.each(PULLING.map(([client, asksFirst]) => ({ client, name: client.name, asksFirst })))(
  "$name",
  ({ client, asksFirst }) => {
    test("pulls every byte", async () => {
      const log = await nobody(client, async (session) => expectPulled(await session.pull(reference()), image));
      const base = log.filter(({ uri }) => uri === "/v2/");
      expect(base.map(({ status }) => status)).toEqual(asksFirst ? [401] : []);
      const others = log.filter(({ uri }) => uri !== "/v2/");
      expect(others.length).toBeGreaterThanOrEqual(1 + image.layers.length);
      for (const { status, user } of others) expect([status, user]).toEqual([200, undefined]);
    });
  },
);

test("docker with the classic image store gives up where it is told to sign in, and pulls as a user", async () => {
  const log = await nobody(docker, async (session) => {
    await expect(session.pull(reference())).rejects.toThrow("no basic auth credentials");
  });
  expect(new Set(log.map(({ uri, status }) => `${uri} ${status}`))).toEqual(new Set(["/v2/ 401"]));
  const home = path.join(folder, "docker-user");
  await mkdir(home);
  const session = await docker.setup(server, home);
  try {
    expectPulled(await session.pull(reference()), image);
  } finally {
    await session.close?.();
  }
});

test.each([crane, skopeo, podman, docker29, ctr2, oras, regctl])("$name may not push so", async (client) => {
  const log = await nobody(client, async (session) => {
    await expect(session.push(image, `${server.host}/team/other:v1`)).rejects.toThrow();
  });
  expect(log.map(({ status }) => status)).toContain(401);
  await server.api.expect(404, "GET", "/v2/team/other/tags/list");
});

test("a login with a wrong password is still found out", async () => {
  const home = path.join(folder, "wrong");
  await mkdir(home);
  const user = { name: "ann", password: "wrong" };
  await expect(skopeo.setup({ ...server, user }, home)).rejects.toThrow(/invalid username\/password/);
});
