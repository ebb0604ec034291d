/**
 * Whole pushes and pulls, one request after the other, as the families of clients send them to a registry that knows
 * nothing of the image and asks for no sign-in. Real clients send some of them side by side: that makes the serial round
 * trips fewer, and the requests not.
 */
import { blobsOf, type Client, type TestImage } from "./client.ts";
import { sha256 } from "../../support/bodies.ts";

type Work = (client: Client, image: TestImage) => Promise<void>;

/** POST, PUT: the digest is known before the bytes. */
const known: Work = async (client, image) => {
  for (const blob of blobsOf(image)) {
    await client.head(blob, 404);
    await client.put(blob);
  }
};

export const PUSHES: Readonly<Record<string, Work>> = {
  "containerd, Docker from 29, BuildKit": async (client, image) => {
    await known(client, image);
    await client.manifest("HEAD", "v1", 404);
    await client.putManifest("v1", image.manifest);
  },
  "oras, helm": async (client, image) => {
    await client.manifest("HEAD", image.manifest.digest, 404);
    await known(client, image);
    await client.putManifest("v1", image.manifest);
  },
  regctl: async (client, image) => {
    await client.manifest("HEAD", "v1", 404);
    for (const blob of blobsOf(image)) {
      await client.head(blob, 404);
      const location = await client.start(`?mount=${sha256(blob)}`);
      await client.finish(location, blob, blob);
    }
    await client.putManifest("v1", image.manifest);
  },
  "Docker to 28": async (client, image) => {
    await client.ping();
    for (const blob of blobsOf(image)) {
      if (blob === image.config) await client.head(blob, 404);
      await client.finish(await client.patch(await client.start(), blob, "streamed"), blob);
      await client.head(blob);
    }
    await client.putManifest("v1", image.manifest);
  },
  "podman, buildah, skopeo": async (client, image) => {
    await client.ping();
    for (const blob of blobsOf(image)) {
      await client.head(blob, 404);
      await client.finish(await client.patch(await client.start(), blob, "streamed"), blob);
    }
    await client.putManifest("v1", image.manifest);
  },
  "crane, ko, kaniko, cosign": async (client, image) => {
    await client.ping();
    await client.manifest("HEAD", "v1", 404);
    for (const blob of blobsOf(image)) {
      await client.head(blob, 404);
      await client.finish(await client.patch(await client.start(), blob), blob);
    }
    await client.putManifest("v1", image.manifest);
  },
};

const blobs: Work = async (client, image) => {
  for (const blob of blobsOf(image)) await client.pullBlob(sha256(blob));
};

export const PULLS: Readonly<Record<string, Work>> = {
  "containerd, Docker": async (client, image) => {
    await client.manifest("HEAD", "v1");
    await client.manifest("GET", image.manifest.digest);
    await blobs(client, image);
  },
  "podman, buildah, skopeo, crane, oras, helm": async (client, image) => {
    await client.ping();
    await client.manifest("GET", "v1");
    await blobs(client, image);
  },
};
