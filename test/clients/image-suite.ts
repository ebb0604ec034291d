/** What every client that pushes and pulls images is tried with. */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Api } from "../support/api.ts";
import { contentsOf, makeImage, makeIndex, type Image, type Index } from "../support/images.ts";
import type { Lading, LoggedRequest } from "../support/lading.ts";
import type { ImageClient, ImageSession, Pulled } from "./client.ts";
import { describeCells } from "./cell.ts";

const [SMALL_BYTES, MEDIUM_BYTES, LARGE_BYTES] = [4_000_000, 50_000_000, 500_000_000];
/** A client that compresses it takes a minute for that alone. */
const LARGE_MS = 600_000;

export interface StoredManifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string; readonly size: number }[];
}

export function imageSuite(client: ImageClient): void {
  describeCells(client, (place, cell) => {
    let server: Lading;
    let session: ImageSession;
    let image: Image;

    beforeAll(async () => {
      ({ server } = place);
      image = await makeImage(path.join(place.folder, "image"));
      session = await client.setup(server, place.home);
    });

    afterAll(async () => {
      await (session as ImageSession | undefined)?.close?.();
    });

    const at = (reference: string): string => `${server.host}/${reference}`;

    test("pushes an image, and the registry holds every byte", async () => {
      const log = await server.during(async () => await session.push(image, at("team/app:v1")));
      expect(log.filter(({ status }) => status >= 500)).toEqual([]);
      const patches = log.filter(({ method }) => method === "PATCH");
      expect(patches.length > 0).toBe(client.family === "patch");
      expectBodiesAt(log, server.host);
      await expectHeld(server.api, "team/app", "v1", image, client);
    });

    if (cell.signIn === "htpasswd") {
      test("is let in by its password only", async () => {
        const written = (await server.requests()).filter(({ method, status }) => method === "PUT" && status === 201);
        expect(written.length).toBeGreaterThan(0);
        expect(new Set(written.map(({ user }) => user))).toEqual(new Set(["ann"]));
        await server.api.expect(401, "GET", "/v2/team/app/tags/list", { anonymous: true });
      });
    }

    if (cell.host === "https") {
      test("was given a CA, without which nobody gets through", async () => {
        await expect(new Api({ url: `http://${server.host}` }).call("GET", "/v2/")).rejects.toThrow();
        await expect(new Api({ url: `https://${server.host}` }).call("GET", "/v2/")).rejects.toThrow(/certificate/);
      });
    }

    test("pulls every byte back", async () => {
      let pulled: Pulled | undefined;
      const log = await server.during(async () => (pulled = await session.pull(at("team/app:v1"))));
      expectPulled(pulled, image);
      // It came from the registry: every layer was sent, or is to be had from the bucket.
      const { layers } = await storedManifest(server.api, "team/app", "v1");
      const status = cell.host === "cloud" ? 307 : 200;
      for (const { digest } of layers) expect(log).toContainEqual(asked(`/v2/team/app/blobs/${digest}`, status));
    });

    test("pushes again without sending a blob", async () => {
      const log = await server.during(async () => await session.push(image, at("team/app:v1")));
      expect(log.filter(isUpload)).toEqual([]);
      expect(log.length).toBeGreaterThan(0);
    });

    test("lists the tags", async () => {
      await session.push(image, at("team/app:v0.9_x"));
      const tags = await (session.list?.(at("team/app")) ?? server.api.tags("team/app"));
      expect(tags.sort()).toEqual(["v0.9_x", "v1"]);
    });

    test("mounts the layers in another repository", async () => {
      const log = await server.during(async () => await session.mount(image, at("team/app:v1"), at("other/app:v1")));
      const { layers } = await storedManifest(server.api, "other/app", "v1");
      const mounted = log.filter(
        ({ method, uri, status }) => method === "POST" && /[?&]mount=/.test(uri) && status === 201,
      );
      for (const { digest } of layers) {
        expect(mounted.map(({ uri }) => new URLSearchParams(uri.split("?")[1]).get("mount"))).toContain(digest);
        expect(log.filter(({ method, uri }) => method === "PUT" && decodeURIComponent(uri).includes(digest))).toEqual(
          [],
        );
      }
      await expectHeld(server.api, "other/app", "v1", image, client);
    });

    if (client.onePlatform !== true) {
      test("copies an image for two platforms", async () => {
        const index = await makeIndex(path.join(place.folder, "index"));
        await session.pushIndex?.(index, at("team/multi:v1"));
        await expectIndexHeld(server.api, "team/multi", "v1", index, client);
        const pulled = await session.pullIndex?.(at("team/multi:v1"));
        if (pulled !== undefined) expectPulled(pulled, index);
      });
    }

    test("deletes the image", async () => {
      const { digest } = await server.api.manifest("team/app", "v1");
      if (session.remove !== undefined) await session.remove(at("team/app:v1"));
      else await server.api.expect(202, "DELETE", `/v2/team/app/manifests/${digest}`);
      await server.api.expect(404, "GET", `/v2/team/app/manifests/${digest}`);
      await server.api.expect(404, "GET", "/v2/team/app/manifests/v1");
      // A repository without manifests may be empty or unknown.
      const left = await server.api.call("GET", "/v2/team/app/tags/list");
      if (left.status !== 404) expect(await server.api.tags("team/app")).toEqual([]);
      await expect(session.pull(at("team/app:v1"))).rejects.toThrow();
    });

    /** Bodies are sent where those of any size are taken, by those that follow there. */
    const expectBodiesAt = (log: readonly LoggedRequest[], host: string): void => {
      const wanted = client.staysOnHost === true ? host : (server.uploadsHost ?? host);
      const seen = log.filter(isUpload).map((request) => nameOf(request.host ?? ""));
      expect(new Set(seen)).toEqual(new Set([nameOf(wanted)]));
    };

    const moves = async (through: ImageSession, host: string, bytes: number): Promise<void> => {
      const name = `team/sized-${bytes}`;
      const sized = await makeImage(path.join(place.folder, `sized-${bytes}`), { layers: [bytes] });
      expectBodiesAt(await server.during(async () => await through.push(sized, `${host}/${name}:v1`)), host);
      await expectHeld(server.api, name, "v1", sized, client);
      expectPulled(await through.pull(`${host}/${name}:v1`), sized);
    };

    if (cell.host === "cloud" && client.staysOnHost === true) {
      test("moves a layer of 4 MB at the API's address", async () => {
        await moves(session, server.host, SMALL_BYTES);
      });

      test(
        `moves a layer of ${cell.large ? 500 : 50} MB at the upload function's own address`,
        { timeout: LARGE_MS },
        async () => {
          const host = server.uploadsHost ?? "";
          const home = path.join(place.folder, "uploads");
          await mkdir(home);
          const there = await client.setup({ ...server, host }, home);
          await moves(there, host, cell.large ? LARGE_BYTES : MEDIUM_BYTES);
          await there.close?.();
        },
      );
    } else if (cell.large) {
      test("moves a layer of 500 MB", { timeout: LARGE_MS }, async () => {
        await moves(session, server.host, LARGE_BYTES);
      });
    }
  });
}

const isUpload = ({ method, uri }: LoggedRequest): boolean =>
  (method === "PATCH" || method === "PUT") && uri.includes("/blobs/uploads/");

/** API Gateway tells nobody the port. */
const nameOf = (host: string): string => host.replace(/:\d+$/, "");

const asked = (uri: string, status: number): unknown =>
  expect.objectContaining({ method: "GET", uri, status }) as unknown;

export async function storedManifest(api: Api, repository: string, reference: string): Promise<StoredManifest> {
  return JSON.parse((await api.manifest(repository, reference)).body.toString()) as StoredManifest;
}

export function expectPulled(pulled: Pulled | undefined, content: Image | Index): void {
  if (pulled?.kind === "exact") expect(pulled.digests).toEqual([...new Set(contentsOf(content))].sort());
  else expect(pulled?.diffIds).toEqual("layers" in content ? content.layers.map(({ diffId }) => diffId) : []);
}

/** The registry gives this image out, each blob by the bytes that its digest names. */
export async function expectHeld(
  api: Api,
  repository: string,
  reference: string,
  image: Image,
  { compresses = false }: { readonly compresses?: boolean },
): Promise<void> {
  const manifest = await api.manifest(repository, reference);
  const { config, layers } = JSON.parse(manifest.body.toString()) as StoredManifest;
  expect(`sha256:${createHash("sha256").update(manifest.body).digest("hex")}`).toBe(manifest.digest);
  if (!compresses) {
    expect(manifest.body.equals(image.bytes)).toBe(true);
    for (const { digest, size } of [image.config, ...image.layers]) {
      expect(await api.hashBlob(repository, digest)).toEqual({ digest, size });
    }
    return;
  }
  expect((await api.hashBlob(repository, config.digest)).digest).toBe(config.digest);
  expect(layers).toHaveLength(image.layers.length);
  for (const [i, { digest, size }] of layers.entries()) {
    expect(await api.hashBlob(repository, digest)).toEqual({ digest, size });
    const { body } = await api.expect(200, "GET", `/v2/${repository}/blobs/${digest}`);
    const tar = createHash("sha256").update(gunzipSync(body)).digest("hex");
    expect(`sha256:${tar}`).toBe(image.layers[i]?.diffId);
  }
}

async function expectIndexHeld(
  api: Api,
  repository: string,
  reference: string,
  index: Index,
  client: ImageClient,
): Promise<void> {
  const { body } = await api.manifest(repository, reference);
  const { manifests } = JSON.parse(body.toString()) as { manifests: { digest: string }[] };
  expect(manifests).toHaveLength(index.images.length);
  if (client.compresses !== true) expect(body.equals(index.bytes)).toBe(true);
  for (const [i, image] of index.images.entries()) {
    await expectHeld(api, repository, manifests[i]?.digest ?? "", image, client);
  }
}
