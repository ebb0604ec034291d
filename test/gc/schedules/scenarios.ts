/** Small cases: those of the model (test/model/scenarios.ts) by its names, and others for which the model has no words. */
import { undo } from "../../../shared/gc/undo.ts";
import type { Digest } from "../../../shared/oci/digest.ts";
import { layout } from "../../../shared/registry/layout.ts";
import { sha256 } from "../../support/bodies.ts";
import { TIMES } from "../support.ts";
import type { Client } from "./client.ts";
import type { Image, Takes } from "./ledger.ts";
import { Violation } from "./schedule.ts";
import type { Stage } from "./stage.ts";
import type { Backend } from "./store.ts";

/** What there is at first, and who acts besides the collectors. */
type Cast = (stage: Stage) => Promise<readonly (() => Promise<void>)[]>;

export interface Scenario {
  readonly name: string;
  readonly backend?: Backend;
  readonly takes?: Takes;
  readonly collectors?: number;
  readonly cast: Cast;
}

const R = "r";
/** How often somebody does the same again. */
const ROUNDS = 2;

async function again(work: () => Promise<void>): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) await work();
}

/** Something that is always there, so that no repository is empty. Gives the content of its blob. */
async function holdsOther(stage: Stage): Promise<string> {
  const content = stage.content("other");
  await stage.holds(R, content);
  await stage.holdsImage(stage.image("o", R, [content]), "other");
  return content;
}

/** Blob `b`, to which nothing refers, and image `m`, which will. */
interface Wanted {
  readonly content: string;
  readonly digest: Digest;
  readonly image: Image;
}

/** `isHeld`: it is there already. */
export async function wantedOf(stage: Stage, { to = R, isHeld = true } = {}): Promise<Wanted> {
  await holdsOther(stage);
  const content = stage.content("b");
  if (isHeld) await stage.holds(R, content);
  return { content, digest: sha256(content), image: stage.image("m", to, [content]) };
}

/** Comes to have the blob, and pushes the image some time later; all that again. */
async function pushesAfter(pusher: Client, image: Image, gets: () => Promise<boolean>): Promise<void> {
  await again(async () => {
    if (!(await gets())) return;
    await pusher.rests();
    await pusher.pushes(image);
  });
}

const pushesAfterHead: Cast = async (stage) => {
  const { digest, image } = await wantedOf(stage);
  const [pusher, user] = [stage.client("pusher"), stage.client("user", "user")];
  return [
    async () => await pushesAfter(pusher, image, async () => await pusher.has(R, digest)),
    async () => {
      if (!stage.random.chance(0.3)) return;
      await user.rests();
      await user.deletes([image], `/v2/${R}/manifests/${image.manifest.digest}`);
    },
  ];
};

const pushesAfterUpload: Cast = async (stage) => {
  const { content, image } = await wantedOf(stage, { isHeld: stage.random.chance(0.7) });
  const pusher = stage.client("pusher");
  const uploads = async (): Promise<boolean> => await pusher.uploads(R, content, stage.random.chance(0.3));
  return [async () => await pushesAfter(pusher, image, uploads)];
};

const mounts: Cast = async (stage) => {
  const { digest, image } = await wantedOf(stage, { to: "to" });
  const pusher = stage.client("pusher");
  return [async () => await pushesAfter(pusher, image, async () => await pusher.mounts(R, "to", digest))];
};

/** Nobody has the bytes, and either repository a link: what cannot be mounted is uploaded. */
const mountsWithoutBytes: Cast = async (stage) => {
  await holdsOther(stage);
  const content = stage.content("b");
  const image = stage.image("m", "to", [content]);
  for (const repository of [R, "to"]) await stage.holdsLink(repository, content);
  const pusher = stage.client("pusher");
  return [
    async () =>
      await again(async () => {
        if (stage.random.chance(0.3)) return;
        const isThere = stage.random.chance(0.5) && (await pusher.mounts(R, "to", sha256(content)));
        if (!isThere && !(await pusher.uploads("to", content, stage.random.chance(0.3)))) return;
        await pusher.rests();
        await pusher.pushes(image);
      }),
  ];
};

const deletesBlobs: Cast = async (stage) => {
  const { content, digest, image } = await wantedOf(stage);
  const [pusher, user] = [stage.client("pusher"), stage.client("user", "user")];
  return [
    async () => await pushesAfter(pusher, image, async () => await pusher.brings(R, content)),
    async () => {
      await user.rests();
      await user.deletes([image], `/v2/${R}/blobs/${digest}`);
    },
  ];
};

/** A run has deleted an untagged manifest, and a later one its blobs: both are undone while collections go on. */
const undoes: Cast = async (stage) => {
  const { content, digest, image } = await wantedOf(stage);
  const clerk = stage.client("undo", "undo");
  const pusher = stage.client("pusher");
  stage.store.time += TIMES.horizonMs + 60_000;
  for (let i = 0; i < 2; i++) await stage.night(TIMES.settleMs + 1000);
  if (stage.store.objects.has(layout.blob(digest))) throw new Violation("3: nothing was deleted");
  return [
    async () => {
      const journal = [...stage.store.objects.keys()].find((key) => key.includes("/journal/"));
      const run = journal?.split("/").at(-3) ?? "";
      await again(async () => {
        const { epoch } = stage.ledger;
        const undone = await clerk.works(async (process) => await undo(stage.driverOf(process), run, stage.pushTimes));
        stage.schedule.note("undo", JSON.stringify(undone ?? "failed"));
        if (undone?.missing.length !== 0) return;
        stage.ledger.promise("undo", R, digest, epoch);
        await clerk.rests();
        await clerk.pushes(image);
      });
    },
    async () => {
      if (!stage.random.chance(0.5) || !(await pusher.brings(R, content))) return;
      await pusher.rests();
      await pusher.pushes(image);
    },
  ];
};

const pushesManifestAgain: Cast = async (stage) => {
  const content = await holdsOther(stage);
  const image = stage.image("m", R, [content]);
  await stage.driver.put(layout.blob(image.manifest.digest), image.manifest.bytes);
  const [pusher, user] = [stage.client("pusher"), stage.client("user", "user")];
  return [
    async () =>
      await again(async () => {
        await pusher.pushes(image);
        await pusher.rests();
      }),
    async () =>
      await again(async () => {
        await user.rests();
        if (stage.random.chance(0.5)) await user.deletes([image], `/v2/${R}/manifests/${image.manifest.digest}`);
      }),
  ];
};

const tagsAgain: Cast = async (stage) => {
  const content = await holdsOther(stage);
  const image = stage.image("m", R, [content]);
  await stage.holdsImage(image);
  const [pusher, user] = [stage.client("pusher"), stage.client("user", "user")];
  return [
    async () =>
      await again(async () => {
        await pusher.pushes(image, "t");
        await pusher.rests();
      }),
    async () => {
      if (!stage.random.chance(0.5)) return;
      await user.rests();
      await user.deletes([image], `/v2/${R}/manifests/t`);
    },
  ];
};

const movesTag: Cast = async (stage) => {
  const content = await holdsOther(stage);
  const images = [stage.image("m", R, [content]), stage.image("n", R, [content])];
  const pusher = stage.client("pusher");
  return [
    async () =>
      await again(async () => {
        for (const image of images) {
          await pusher.pushes(image, "t");
          await pusher.rests();
        }
      }),
  ];
};

function indexCast(pushesChild: boolean): Cast {
  return async (stage) => {
    const content = await holdsOther(stage);
    const child = stage.image("c", R, [content]);
    const index = stage.index("i", R, [child]);
    if (!pushesChild || stage.random.chance(0.5)) await stage.holdsImage(child);
    if (stage.random.chance(0.7)) await stage.holdsImage(index);
    const [pusher, user] = [stage.client("pusher"), stage.client("user", "user")];
    return [
      async () =>
        await again(async () => {
          if (pushesChild) {
            await pusher.pushes(child);
            await pusher.rests();
          }
          await pusher.pushes(index, "t");
          await pusher.rests();
        }),
      async () => {
        if (!stage.random.chance(0.3)) return;
        await user.rests();
        await user.deletes([index], `/v2/${R}/manifests/t`);
      },
    ];
  };
}

function subjectCast(pushesSignature: boolean): Cast {
  return async (stage) => {
    const content = await holdsOther(stage);
    const subject = stage.image("m", R, [content]);
    const signature = stage.image("s", R, [content], subject);
    await stage.holdsImage(subject);
    if (!pushesSignature) {
      await stage.holdsImage(signature);
      // It was acknowledged long ago, and nobody has deleted it.
      stage.ledger.acknowledge("long ago", signature, undefined, stage.ledger.sends("long ago", signature));
    }
    const [pusher, signer] = [stage.client("pusher"), stage.client("signer")];
    return [
      async () =>
        await again(async () => {
          await pusher.pushes(subject, "t");
          await pusher.rests();
        }),
      async () => {
        if (pushesSignature) await signer.pushes(signature);
      },
    ];
  };
}

/** Two who have the same layer to push, each in a way of their own. */
const twoPush: Cast = async (stage) => {
  await holdsOther(stage);
  const content = stage.content("b");
  const images = [stage.image("m", R, [content]), stage.image("n", "q", [content])];
  if (stage.random.chance(0.7)) await stage.holds(R, content);
  const pushes = async (i: number): Promise<void> => {
    const image = images[stage.random.upTo(2)] ?? images[0];
    if (image === undefined) return;
    const client = stage.client(`pusher ${i}`);
    await pushesAfter(client, image, async () =>
      stage.random.chance(0.5)
        ? await client.brings(image.repository, content)
        : await client.uploads(image.repository, content, stage.random.chance(0.5)),
    );
  };
  return [async () => await pushes(1), async () => await pushes(2)];
};

/** Rules take all tags but the youngest, and with it manifests that no tag names any more. */
const tagsExpire: Cast = async (stage) => {
  const content = await holdsOther(stage);
  const [old, other] = [stage.image("m", R, [content]), stage.image("n", R, [content])];
  await stage.holdsImage(old, "old");
  stage.store.time += 60_000;
  await stage.holdsImage(other, "young");
  const [pusher, user] = [stage.client("pusher"), stage.client("user", "user")];
  return [
    async () =>
      await again(async () => {
        await pusher.pushes(stage.random.chance(0.5) ? old : other, "old");
        await pusher.rests();
      }),
    async () => {
      if (!stage.random.chance(0.3)) return;
      await user.rests();
      await user.deletes([old, other], `/v2/${R}/manifests/old`);
    },
  ];
};

/** Rules take a manifest that no tag names any more, and the tag of its signature with it; both are pushed again. */
const signatureTag: Cast = async (stage) => {
  const content = await holdsOther(stage);
  const [subject, signature] = [stage.image("m", R, [content]), stage.image("s", R, [content])];
  const tag = stage.ledger.signs(subject, signature);
  await stage.holdsImage(subject);
  await stage.holdsImage(signature, tag);
  const [pusher, signer] = [stage.client("pusher"), stage.client("signer")];
  return [
    async () =>
      await again(async () => {
        await pusher.pushes(subject, "t");
        await pusher.rests();
      }),
    async () => {
      if (!stage.random.chance(0.3)) return;
      await signer.rests();
      await signer.pushes(signature, tag);
    },
  ];
};

/** Sessions that are left, and one that goes on: what is acknowledged of it is not abandoned. */
const appends: Cast = async (stage) => {
  const { content, image } = await wantedOf(stage, { isHeld: false });
  const [pusher, other] = [stage.client("pusher"), stage.client("who leaves")];
  return [
    async () => await pushesAfter(pusher, image, async () => await pusher.uploads(R, content, true)),
    async () => {
      await other.leavesUpload(R, stage.content("left"));
    },
  ];
};

export const SCENARIOS: readonly Scenario[] = [
  { name: "HEAD, then manifest", cast: pushesAfterHead },
  { name: "HEAD, then manifest, in a folder", backend: "folder", cast: pushesAfterHead },
  { name: "HEAD, then manifest, beside two runs", collectors: 2, cast: pushesAfterHead },
  { name: "upload, then manifest", collectors: 2, cast: pushesAfterUpload },
  { name: "upload, then manifest, in a folder", collectors: 2, backend: "folder", cast: pushesAfterUpload },
  { name: "mount, then manifest", cast: mounts },
  { name: "mount from a link without bytes", cast: mountsWithoutBytes },
  { name: "mount from a link without bytes, two runs", collectors: 2, cast: mountsWithoutBytes },
  {
    name: "mount from a link without bytes, in a folder",
    collectors: 2,
    backend: "folder",
    cast: mountsWithoutBytes,
  },
  { name: "HEAD or upload, beside DELETE of the blob", cast: deletesBlobs },
  { name: "undo", cast: undoes },
  { name: "undo, in a folder", backend: "folder", cast: undoes },
  { name: "manifest again", collectors: 2, cast: pushesManifestAgain },
  { name: "manifest again, in a folder", collectors: 2, backend: "folder", cast: pushesManifestAgain },
  { name: "tag again", takes: "untagged", collectors: 2, cast: tagsAgain },
  { name: "index with a child", takes: "untagged", cast: indexCast(false) },
  { name: "child, then index", takes: "untagged", cast: indexCast(true) },
  { name: "subject with a signature", takes: "untagged", cast: subjectCast(false) },
  { name: "signature", takes: "untagged", cast: subjectCast(true) },
  { name: "tag moves", takes: "untagged", cast: movesTag },
  { name: "two pushers", collectors: 2, cast: twoPush },
  { name: "two pushers, three collectors, in a folder", collectors: 3, backend: "folder", cast: twoPush },
  { name: "tags that expire", takes: "tags", collectors: 2, cast: tagsExpire },
  { name: "a signature under a tag", takes: "tags", collectors: 2, cast: signatureTag },
  { name: "a signature under a tag, in a folder", takes: "tags", backend: "folder", cast: signatureTag },
  { name: "abandoned uploads", cast: appends },
];
