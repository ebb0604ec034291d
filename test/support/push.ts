import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Api } from "./api.ts";
import type { Image } from "./images.ts";

/** Pushes an image without any client, under these tags, or else by its digest. */
export async function pushImage(api: Api, repository: string, image: Image, ...tags: string[]): Promise<void> {
  for (const { digest } of [...image.layers, image.config]) {
    await api.pushBlob(repository, await readFile(path.join(image.folder, "blobs", digest.replace(":", "/"))));
  }
  for (const reference of tags.length > 0 ? tags : [image.descriptor.digest]) {
    const { status, body } = await api.putManifest(repository, reference, image.bytes, image.descriptor.mediaType);
    if (status !== 201) throw new Error(`PUT ${repository}:${reference}: ${status} ${body.toString()}`);
  }
}
