/**
 * Rules that cannot be broken but by a change of the code, each with a story told as a script (script.ts), which holds on the
 * code as it is. Runs have numbers, and each begins with its first line.
 */
import type { Tag } from "../../../shared/oci/reference.ts";
import { layout } from "../../../shared/registry/layout.ts";
import { writeLink } from "../../../shared/registry/link.ts";
import { sha256 } from "../../support/bodies.ts";
import { TIMES } from "../support.ts";
import type { Image, Takes } from "./ledger.ts";
import { withSeededIds } from "./random.ts";
import { Violation } from "./schedule.ts";
import { actorsOf, Script } from "./script.ts";
import { Stage, type Mutation } from "./stage.ts";

/** A piece of a file's text, which must be there exactly once, and what is there instead. */
export interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

export interface SourceStory {
  /** The rule that is broken, by the name of the model's mutant. */
  readonly what: string;
  readonly changes: readonly Change[];
  /** Or it is broken by a setting. */
  readonly mutation?: Mutation;
  /** What does not hold then. */
  readonly violates: RegExp;
  readonly takes: Takes;
  /** What there is at first; gives whoever acts besides the runs. */
  readonly cast: (stage: Stage) => Promise<Actors>;
  readonly script: readonly string[];
  /** Looked at when all nights are over. */
  readonly atLast?: (stage: Stage) => void;
}

type Actors = Readonly<Record<string, () => Promise<void>>>;

const R = "r";
const TAG = "old" as Tag;
const RIPE = "pass SETTLE + 1 s";
const IS_GONE = /^1: the tag old of m was acknowledged, and is gone$/;

const BEFORE_SWEEP = "shared/gc/before-sweep.ts";
const SWEEPING = "shared/gc/sweeping.ts";
const MANIFESTS = "shared/registry/manifest-store.ts";
const NO_PARENT_RULE: Change = {
  file: "shared/gc/revision-plan.ts",
  from: "neededBy(index).forEach(keep);",
  to: ";",
};

async function contentOf(stage: Stage): Promise<string> {
  const content = stage.content("b");
  await stage.holds(R, content);
  return content;
}

/** Must be taken. */
async function push(stage: Stage, name: string, image: Image, tag?: string): Promise<void> {
  if (!(await stage.client(name).pushes(image, tag))) throw new Error(`${image.name} is not taken`);
}

/** Two tags, of which rules keep the younger; both are old. */
async function expiring(stage: Stage): Promise<Image> {
  const image = stage.image("m", R, [await contentOf(stage)]);
  await stage.holdsImage(image, TAG);
  stage.store.time += 60_000;
  await stage.holdsImage(image, "young");
  stage.store.time += TIMES.horizonMs + 2000;
  return image;
}

async function pushesExpiring(stage: Stage): Promise<Actors> {
  const image = await expiring(stage);
  return {
    pusher: async () => await push(stage, "pusher", image, TAG),
    // So that the tag of the pusher is not the younger one.
    other: async () => await push(stage, "other", image, "young"),
  };
}

/** An old manifest without a tag, with a signature under a tag that is named after it; somebody pushes it again. */
async function signedAndUntagged(stage: Stage): Promise<Actors> {
  const content = await contentOf(stage);
  const image = stage.image("m", R, [content]);
  const signature = stage.image("s", R, [content]);
  await stage.holdsImage(image);
  await stage.holdsImage(stage.image("o", R, [content]), "other");
  await stage.holdsImage(signature, stage.ledger.signs(image, signature));
  stage.store.time += TIMES.horizonMs + 2000;
  return { pusher: async () => await push(stage, "pusher", image, "t") };
}

/** A registry that knows no marks sets the tag, and two minutes later that must have been seen. */
async function setByAnother(stage: Stage): Promise<Actors> {
  const image = await expiring(stage);
  const { repository, manifest } = image;
  const sets = async (): Promise<void> => {
    const process = stage.process("other registry", "user");
    const sent = stage.ledger.sends(process.actor, image);
    const driver = stage.driverOf(process);
    await writeLink(driver, layout.tagHistoryLink(repository, TAG, manifest.digest), manifest.digest);
    await writeLink(driver, layout.tagLink(repository, TAG), manifest.digest);
    await stage.schedule.wait(process, TIMES.permitMs + 1000);
    stage.ledger.acknowledge(process.actor, image, TAG, sent);
  };
  return { "other registry": sets };
}

/** Each is followed to its end: with the change something does not hold, and without it all does, for all nights to come. */
export const SOURCE_STORIES: readonly SourceStory[] = [
  {
    what: "a child goes before its parents",
    changes: [NO_PARENT_RULE],
    violates: /^1: i was acknowledged, and lacks /,
    takes: "untagged",
    cast: async (stage) => {
      const child = stage.image("c", R, [await contentOf(stage)]);
      const index = stage.index("i", R, [child]);
      await stage.holdsImage(child);
      return { pusher: async () => await push(stage, "pusher", index, "t") };
    },
    script: ["pusher: ends", "pass HORIZON + 2 s", "run 1: ends", RIPE, "run 2: ends"],
  },
  {
    what: "a signature goes before its subject",
    changes: [NO_PARENT_RULE],
    violates: /^1: s was acknowledged, and lacks /,
    takes: "untagged",
    cast: async (stage) => {
      const content = await contentOf(stage);
      const subject = stage.image("m", R, [content]);
      const signature = stage.image("s", R, [content], subject);
      return {
        pusher: async () => await push(stage, "pusher", subject, "t"),
        signer: async () => await push(stage, "signer", signature),
      };
    },
    script: ["pusher: ends", "signer: ends", "pass HORIZON + 2 s", "run 1: ends", RIPE, "run 2: ends"],
  },
  {
    // As long as it has no tag, the revision may be collected.
    what: "the time is not checked after the tags",
    changes: [{ file: MANIFESTS, from: "end: (await announcing) ?? written.end", to: "end: written.end" }],
    violates: /^1: m was acknowledged, and lacks /,
    takes: "untagged",
    cast: async (stage) => {
      const content = await contentOf(stage);
      const image = stage.image("m", R, [content]);
      await stage.holdsImage(stage.image("o", R, [content]), "other");
      return { pusher: async () => await push(stage, "pusher", image, "t") };
    },
    script: ["pusher: write revision of m", "pass HORIZON + 2 s", "run 1: ends", RIPE, "run 2: ends", "pusher: ends"],
  },
  {
    // The pusher has seen no mark, and sets the tag when run 2 has looked at its age.
    what: "the time is not checked after a tag",
    changes: [
      {
        file: MANIFESTS,
        from: "return { since, end };\n    });\n    return { asOf };",
        to: "return { since: end, end };\n    });\n    return { asOf };",
      },
    ],
    violates: IS_GONE,
    takes: "tags",
    cast: pushesExpiring,
    script: [
      "pusher: read mark of old",
      "run 1: ends",
      RIPE,
      "run 2: list repositories of old",
      "pusher: ends",
      "run 2: ends",
    ],
  },
  {
    what: "the link of a tag goes before its history",
    changes: [
      {
        file: BEFORE_SWEEP,
        from: "  return { ...item, links };\n",
        to: "  return { ...item, links: item.last === undefined ? [] : [item.last], last: links[0] };\n",
      },
    ],
    violates: /^3: the tag has expired, and of it stays: .*\/index\//,
    takes: "tags",
    cast: async (stage) => {
      await expiring(stage);
      return {};
    },
    script: ["run 1: ends", RIPE, "run 2: delete links — killed after"],
    atLast: ({ store }) => {
      const left = [...store.objects.keys()].find((key) => key.includes(`/_manifests/tags/${TAG}/`));
      if (left !== undefined) throw new Violation(`3: the tag has expired, and of it stays: ${left}`);
    },
  },
  {
    what: "the age of the link is not looked at again",
    changes: [{ file: BEFORE_SWEEP, from: "else if (secondsOf(lastModified) >= horizon) return undefined;", to: "" }],
    violates: IS_GONE,
    takes: "tags",
    cast: setByAnother,
    script: ["run 1: ends", RIPE, "run 2: read tags", "other registry: ends", "run 2: ends"],
  },
  {
    // Where the permit was opened before the look it is over when the tag is as old as it was good for.
    what: "the age of the link is looked at before the permit",
    changes: [
      {
        file: SWEEPING,
        from: "    const id = this.#newPermit();\n    await this.#driver.fenced.open(id);\n",
        to:
          "    const seen = await mapLimit(planned, READS, look);\n" +
          "    const id = this.#newPermit();\n    await this.#driver.fenced.open(id);\n",
      },
      { file: SWEEPING, from: "const looked = await mapLimit(copied, READS, look);", to: "const looked = seen;" },
    ],
    violates: IS_GONE,
    takes: "tags",
    cast: setByAnother,
    script: ["run 1: ends", RIPE, "run 2: list repositories of old", "other registry: ends", "run 2: ends"],
  },
  {
    // The mount was too late for run 2, and its server dies before it sees that.
    what: "a link without bytes is no candidate",
    changes: [{ file: "shared/gc/blob-plan.ts", from: "row < blobs.rows;", to: "row < blobs.length;" }],
    violates: /^3: garbage is left: repositories\/to\/_layers\/sha256\/b\/link$/,
    takes: "blobs",
    cast: async (stage) => {
      const blob = sha256(await contentOf(stage));
      const other = stage.content("other");
      await stage.holds(R, other);
      await stage.holdsImage(stage.image("o", R, [other]), "other");
      return {
        pusher: async () => {
          await stage.client("pusher").mounts(R, "to", blob);
        },
      };
    },
    script: [
      "pass HORIZON + 2 s",
      "pusher: read mark of b",
      "pusher: read link of b",
      "pusher: look at bytes of b",
      "run 1: ends",
      RIPE,
      "run 2: ends",
      "pusher: write link of b — killed after",
    ],
  },
  {
    // The tag is set 40 s before its push is answered; run 2 begins when it is older than GRACE, and the promise is not.
    what: "a tag is condemned by a HORIZON of GRACE",
    changes: [],
    mutation: { runTimes: { horizonMs: TIMES.graceMs } },
    violates: IS_GONE,
    takes: "tags",
    cast: pushesExpiring,
    script: [
      "pusher: write revision of m",
      "run 1: list repositories",
      "pusher: write tag of old",
      "run 1: ends",
      "pass 40 s",
      "pusher: ends",
      "other: ends",
      "pass 23 h + 3580 s",
      "run 2: ends",
    ],
  },
  {
    // Run 2 has the mark of the signature's tag, and not that of its subject, which the pusher has cleared.
    what: "a signature's tag goes under its own mark alone",
    changes: [{ file: SWEEPING, from: "if (groups.has(groupOf(item)))", to: "if (groups !== undefined)" }],
    violates: /^1: the tag sha256-[0-9a-f]{64}\.sig of s was acknowledged, and is gone$/,
    takes: "tags",
    cast: signedAndUntagged,
    script: ["run 1: ends", RIPE, "run 2: deleting", "pusher: ends", "run 2: ends"],
  },
  {
    // The pusher finds a subject that is gone, and its signature there, and is answered before that goes too.
    what: "a subject's mark says swept before its signature's tag is gone",
    changes: [
      {
        file: SWEEPING,
        from: "    const last = unlinked.flatMap(",
        to:
          "    for (const { item, etag } of unlinked) {\n" +
          '      if (item.tag === undefined) await this.#marks.write(item.mark.key, "swept", { etag });\n' +
          "    }\n" +
          "    const last = unlinked.flatMap(",
      },
    ],
    violates: /^1: the tag sha256-[0-9a-f]{64}\.sig of s was acknowledged, and is gone$/,
    takes: "tags",
    cast: signedAndUntagged,
    script: ["run 1: ends", RIPE, "run 2: delete links of m", "run 2: swept", "pusher: ends", "run 2: ends"],
  },
];

/** Tells the story of this name, on the code as it is or with a mutation; gives where it was played. */
export async function tellSourceStory(what: string, mutation: Mutation = {}): Promise<Stage> {
  const story = SOURCE_STORIES.find((one) => one.what === what);
  if (story === undefined) throw new Error(`no such story: ${what}`);
  const { takes, cast, script, atLast } = story;
  const stage = new Stage(1, { backend: "bucket", takes, mutation, focus: { rests: [0], clockStands: true } });
  const lines = new Script(script, script.length, (key) => stage.nameIn(key));
  return await withSeededIds(1, async () => {
    const actors = await cast(stage);
    const runs = actorsOf(script).filter((name) => name.startsWith("run"));
    const all = [...Object.values(actors), ...runs.map((name) => async () => await stage.collectsOnce(name))];
    await stage.schedule.play(all, lines.choose);
    if (lines.missed !== undefined) throw new Error(`this never comes: ${lines.missed}`);
    await stage.rests();
    atLast?.(stage);
    return stage;
  });
}
