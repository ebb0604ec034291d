/**
 * Looks at a registry from outside, as its clients see it: what no documentation says of the services in front of it is
 * found out on the real thing. docs/assumptions.md has a line for each check.
 */
import { CONNECTION_CHECKS, REQUEST_CHECKS } from "./connection-checks.ts";
import { CONTENT_CHECKS } from "./content-checks.ts";
import { BODY_CHECKS, UPLOAD_CHECKS } from "./upload-checks.ts";
import { Visit, type Check, type Finding, type VisitOptions } from "./visit.ts";

/** What a check saw. */
export interface Observation extends Finding {
  readonly check: string;
}

/** All that is looked at, in this order; where uploads go is found out before the addresses are compared. */
export const CHECKS: readonly Check[] = [
  ...CONNECTION_CHECKS,
  ...UPLOAD_CHECKS,
  ...REQUEST_CHECKS,
  ...CONTENT_CHECKS,
  ...BODY_CHECKS,
];
const NEEDED: ReadonlySet<string> = new Set(["challenge", "sign-in"]);

/** Sizes that tell the ways apart: through an event, above it, above a part of S3's, and a large layer. In bytes. */
export const BODY_SIZES: readonly number[] = [4_000_000, 8_000_000, 50_000_000, 1_000_000_000];

/**
 * Runs every check and deletes what it pushed. `onObservation` is told of each finding as it comes. Without a sign-in that
 * works it ends early, and after the present check where `signal` says so. Never rejects: a connection that fails is a finding.
 */
export async function examine(
  options: VisitOptions,
  onObservation: (seen: Observation) => void,
  signal?: AbortSignal,
): Promise<readonly Observation[]> {
  const visit = new Visit(options);
  const seen: Observation[] = [];
  const tell = (check: string, finding: Finding): void => {
    const observation = { check, ...finding };
    seen.push(observation);
    onObservation(observation);
  };
  const run = async ({ name, run: look }: Check): Promise<boolean> => {
    let findings: readonly Finding[];
    try {
      findings = await look(visit);
    } catch (error) {
      const text = `the connection failed: ${error instanceof Error ? error.message : String(error)}`;
      findings = [{ level: "fail", text, advice: "check the address, its certificate and the network in between" }];
    }
    for (const finding of findings) tell(name, finding);
    return findings.every(({ level }) => level !== "fail");
  };
  for (const check of CHECKS) {
    if (signal?.aborted === true) break;
    const alone = visit.addresses().length === 1;
    if (!(await run(check)) && NEEDED.has(check.name)) return seen;
    if (check.name === "cross-host-push" && alone && visit.addresses().length > 1) {
      for (const known of CONNECTION_CHECKS) await run(onlyUploads(known));
    }
  }
  const left = await visit.tidy();
  const [first] = left;
  if (first !== undefined) {
    const what = left.length === 1 ? first.what : `${first.what} and ${left.length - 1} others`;
    tell("tidying", {
      level: "note",
      text: `${what} in ${options.repository} stay: deleting is answered ${first.status}`,
      advice:
        first.status === 405
          ? "deletes are turned off here (storage.delete.enabled)"
          : `delete the repository ${options.repository} when that works again`,
    });
  }
  return seen;
}

/** A check of what both addresses have, at the second one. */
function onlyUploads({ name, run }: Check): Check {
  return {
    name,
    run: async (visit) => (await run(visit)).filter(({ text }) => text.startsWith("uploads: ")),
  };
}
