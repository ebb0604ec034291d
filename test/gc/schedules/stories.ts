/**
 * Races that are too long to be drawn: each is told as a script, and shows what a rule of the protocol is for. Blob `b` of
 * repository `r` is old, and nothing refers to it; a pusher asks for it, and pushes the manifest `m` that does. Runs have
 * numbers, and each begins with its first line.
 */
import { TIMES } from "../support.ts";
import {
  datedWhenSent,
  datedWithItsAnswer,
  everlasting,
  isMark,
  marksLast,
  remembering,
  revokedFirst,
  tombstonesGo,
  withFenced,
  withoutNonce,
} from "./mutations.ts";
import { wantedOf } from "./scenarios.ts";
import { actorsOf } from "./script.ts";
import type { Mutation, Stage } from "./stage.ts";
import type { Backend } from "./store.ts";

export interface Story {
  /** The rule that is broken, by the name of the model's mutant. */
  readonly what: string;
  readonly mutation: Mutation;
  /** Default: a bucket. */
  readonly backend?: Backend;
  /** How the pusher comes to have the blob, before it pushes the manifest. */
  readonly by: "HEAD" | "upload" | "mount";
  /** Can be followed with the rule as well. */
  readonly script: readonly string[];
  /** How it goes on without the rule. */
  readonly without: readonly string[];
}

const R = "r";
const OLD = "pass HORIZON + 2 s";
const RIPE = "pass SETTLE + 1 s";

/** A promise: at once the pusher asks for all three. */
const ASKS = ["pusher: read mark of b", "pusher: read link of b", "pusher: look at bytes of b"];

/**
 * A request of run 2 to delete the mark, which says "absent", is under way for long. The mark goes, another comes, and run 4
 * deletes what it is of: then the request takes it away, and the pusher sees none.
 */
const BEFORE_LATE_DROP = [
  OLD,
  "run 1: ends",
  "somebody: clear mark of b",
  "somebody: ends",
  OLD,
  "run 2: drop mark — late",
  "run 3: drop mark",
  "run 3: condemn",
  "run 3: ends",
];
const LATE_DROP: Pick<Story, "by" | "script" | "without"> = {
  by: "HEAD",
  script: [...BEFORE_LATE_DROP, RIPE, "run 4: deleting", "run 2, late 1: drop mark"],
  without: ["pusher: renew link of b", "run 4: delete links"],
};

/** Each is followed to its end without its rule, and then something does not hold; with the rule all does. */
export const STORIES: readonly Story[] = [
  {
    // The pusher has seen no mark, and writes the link again after run 2 has seen it old.
    what: "a run may sweep what it has just seen condemned",
    mutation: { runTimes: { settleMs: 0 } },
    by: "HEAD",
    script: [OLD, ...ASKS, "run 1: ends", "pass 1 s", "run 2: list repositories", "pusher: renew link of b"],
    without: ["run 2: delete links"],
  },
  {
    // The same, and it took the pusher 40 s, which it may.
    what: "SETTLE is not above T",
    mutation: { runTimes: { settleMs: TIMES.promiseMs / 2 } },
    by: "upload",
    script: [
      OLD,
      "pusher: read mark of b",
      "run 1: ends",
      "pass 40 s",
      "run 2: list repositories",
      "pusher: write link of b",
    ],
    without: ["run 2: delete bytes"],
  },
  {
    // The link is sent, and written when SETTLE has passed.
    what: "the time is checked before the last write",
    mutation: { push: datedWhenSent },
    by: "mount",
    script: [OLD, ...ASKS, "run 1: ends", RIPE, "run 2: list repositories", "pusher: write link of b", "pusher: rests"],
    without: ["run 2: delete bytes"],
  },
  {
    // The pusher has seen no mark, and is done in time; then run 2 finds a mark that is old enough beside a link that it has
    // not seen.
    what: "marks are listed after the rest",
    mutation: { run: marksLast },
    by: "upload",
    script: [OLD, "pusher: read mark of b", "run 1: ends", "run 2: list repositories", "pusher: write link of b", RIPE],
    without: ["run 2: delete bytes"],
  },
  {
    // A link that is younger than FRESH is not written again, and older than GRACE before the promise is.
    what: "HORIZON is GRACE",
    mutation: { runTimes: { horizonMs: TIMES.graceMs } },
    by: "HEAD",
    script: ["pass 11 h", ...ASKS, "pass 14 h", "run 1: ends", RIPE, "run 2: list repositories"],
    without: ["run 2: delete links"],
  },
  {
    // Run 2 is about to go on from a mark that the pusher clears. Run 3, which has seen the old link, condemns again: the
    // mark is the one that run 2 has read.
    what: "no nonce: the ETag of another condemnation is the same",
    mutation: { push: withoutNonce, run: withoutNonce },
    by: "HEAD",
    script: [
      OLD,
      "run 1: ends",
      RIPE,
      "run 2: list repositories",
      "run 2: open permit",
      "pusher: clear mark of b",
      "run 3: list repositories",
      "pusher: renew link of b",
      "run 3: condemn",
    ],
    without: ["run 2: delete links"],
  },
  {
    // The pusher was late with the link, asks again, and is answered that it is there; then it goes, and the mark may be
    // taken over. In a bucket the permit would be over by then, which is why only a folder shows it.
    what: "link and bytes are not read again after the mark",
    mutation: { push: remembering },
    backend: "folder",
    by: "HEAD",
    script: [
      OLD,
      ...ASKS,
      "run 1: ends",
      RIPE,
      "run 2: deleting",
      "pass D + 1 s",
      "pusher: renew link of b",
      "pusher: read link of b",
      "pusher: look at bytes of b",
      "run 2: delete links",
      "pusher: clear mark of b",
    ],
    without: [],
  },
  {
    // The same as to the link, and the mark of the sweep is gone before the pusher reads it.
    what: "tombstones do not stay",
    mutation: { run: tombstonesGo },
    by: "HEAD",
    script: [
      OLD,
      ...ASKS,
      "run 1: ends",
      RIPE,
      "run 2: list repositories",
      "pusher: renew link of b",
      "pusher: read link of b",
      "pusher: look at bytes of b",
      "run 2: swept",
      "run 2: ends",
    ],
    without: ["run 3: drop mark", "pusher: read mark of b"],
  },
  {
    // The mark is written at once, and the answer to it comes so late that the pusher may take it over by then.
    what: "a permit is dated with the answer to its own PUT",
    mutation: { run: datedWithItsAnswer },
    by: "HEAD",
    script: [
      OLD,
      "run 1: ends",
      RIPE,
      "run 2: deleting — slow D + 1 s",
      "pusher: renew link of b",
      "run 2: delete links",
    ],
    without: [],
  },
  {
    what: "SETTLE is not above E",
    mutation: { permitMs: 2 * TIMES.settleMs, ...takeoverOf(3 * TIMES.settleMs) },
    ...LATE_DROP,
  },
  { what: "marks are deleted without a permit", mutation: everlasting(isMark), ...LATE_DROP },
  {
    what: "expired permits are not revoked",
    mutation: withFenced(() => ({ revokeExpired: async () => undefined })),
    backend: "folder",
    ...LATE_DROP,
  },
  {
    // The permit of run 2 is young when run 4 looks for those that are over, and then nothing happens for long.
    what: "expired permits are revoked before the marks are listed",
    mutation: { run: revokedFirst },
    backend: "folder",
    by: "HEAD",
    script: [...BEFORE_LATE_DROP, "run 4: revoke expired permits", RIPE],
    without: ["run 4: deleting", "run 2, late 1: drop mark", ...LATE_DROP.without],
  },
];

/** Whoever acts in it: runs, the pusher, and others, who only ask whether the blob is there. Each waits for its first line. */
export async function castOf({ by, script, without }: Story, stage: Stage): Promise<readonly (() => Promise<void>)[]> {
  const { content, digest, image } = await wantedOf(stage, { to: by === "mount" ? "to" : R });
  return actorsOf([...script, ...without]).map((name) => async () => {
    if (name.startsWith("run")) {
      await stage.collectsOnce(name);
      return;
    }
    const client = stage.client(name);
    await client.rests();
    const has = {
      HEAD: async () => await client.has(R, digest),
      upload: async () => await client.uploads(R, content),
      mount: async () => await client.mounts(R, "to", digest),
    };
    if (!(await has[by]())) return;
    await client.rests();
    if (name === "pusher") await client.pushes(image);
  });
}

/** With another D. */
function takeoverOf(takeoverMs: number): Pick<Mutation, "pushTimes" | "runTimes"> {
  return { pushTimes: { takeoverMs }, runTimes: { takeoverMs } };
}
