/** Whether each kind of client can push, and bodies of which size pass at each address. */
import { payload } from "./client.ts";
import { fail, note, pass, textOf } from "./findings.ts";
import { AGENTS, type Address, type Check, type Finding, type Visit } from "./visit.ts";

const MB = 1_000_000;
/** What API Gateway and Lambda are known to take in one request. */
const EVENT_MB = 4;

const crossHost: Check = {
  name: "cross-host-push",
  run: async (visit) => {
    const begun = await visit.beginUpload(visit.registry, AGENTS.follows);
    if ("refused" in begun) {
      const { status, body } = begun.refused;
      return [
        fail(
          `no upload can be begun: ${status} ${textOf(body)}`,
          "the user needs to be one who may push; the log says why",
        ),
      ];
    }
    const { origin } = new URL(begun.location);
    if (origin === new URL(visit.registry.url).origin) {
      return [
        note("uploads stay on the registry's own host", "on Lambda set http.uploads.host: bodies above 4.4 MB need it"),
      ];
    }
    if (visit.options.uploads === undefined) visit.uploads = { label: "uploads", url: origin };
    const body = payload(MB);
    const patched = await visit.askAnybody("PATCH", begun.location, {
      headers: { "content-type": "application/octet-stream", "user-agent": AGENTS.follows },
      body,
    });
    const next = patched.header("location");
    if (patched.status !== 202 || next === undefined) {
      return [
        fail(
          `an append at ${origin} is answered ${patched.status}: ${textOf(patched.body)}`,
          "both functions need the same http.secret; see that the parameter is the same, and the log of the upload function",
        ),
      ];
    }
    const reply = await visit.askAnybody("PUT", `${new URL(next, begun.location).href}?digest=${body.digest}`, {
      headers: { "content-length": "0", "user-agent": AGENTS.follows },
    });
    if (reply.status !== 201) {
      return [
        fail(
          `the end of an upload at ${origin} is answered ${reply.status}: ${textOf(reply.body)}`,
          "the log says why",
        ),
      ];
    }
    visit.pushedBlob(body.digest);
    const head = await visit.ask("GET", visit.registry, visit.path(`blobs/${body.digest}`));
    if (head.status >= 400) {
      return [
        fail(
          `what was uploaded to ${origin} is ${head.status} at the registry`,
          "both functions need the same bucket and root",
        ),
      ];
    }
    return [pass(`clients that follow are sent to ${origin}`)];
  },
};

const sameHost: Check = {
  name: "same-host-push",
  run: async (visit) => {
    const begun = await visit.beginUpload(visit.registry, AGENTS.stays);
    if ("refused" in begun) return [fail(`no upload can be begun: ${begun.refused.status}`, "the log says why")];
    const { origin } = new URL(begun.location);
    if (origin !== new URL(visit.registry.url).origin) {
      return [
        fail(
          `a client that refuses to is sent to ${origin}`,
          "oras and helm fail: see http.uploads.clients, and http.host if the name is the registry's own",
        ),
      ];
    }
    const reply = await visit.endUpload(begun.location, payload(MB), true);
    return [
      reply.status === 201
        ? pass("clients that stay on their host push there")
        : fail(
            `an upload that stays on its host is answered ${reply.status}: ${textOf(reply.body)}`,
            "the log says why",
          ),
    ];
  },
};

/** Sends a body of a size to a session that was begun at an address, as a client does that stays there. */
async function tryBody(visit: Visit, address: Address, size: number): Promise<number | string> {
  const begun = await visit.beginUpload(address, AGENTS.stays);
  if ("refused" in begun) return begun.refused.status;
  return await visit.endUpload(begun.location, payload(size), true, { silenceMs: 15 * 60_000 }).then(
    ({ status }) => status,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

const bodies: Check = {
  name: "bodies",
  run: async (visit) => {
    const findings: Finding[] = [];
    for (const address of visit.addresses()) {
      const anySize = address.label === "uploads" || visit.addresses().length === 1;
      for (const size of visit.options.bodies) {
        const came = await tryBody(visit, address, size);
        const what = `${address.label}: a body of ${size / MB} MB`;
        if (came === 201) findings.push(pass(`${what} passes`));
        else if (came === 413 && !anySize && size > EVENT_MB * MB) {
          findings.push(
            note(
              `${what} is refused with 413, as behind API Gateway`,
              "oras and helm push larger ones at the uploads address",
            ),
          );
          break;
        } else {
          findings.push(
            fail(
              `${what}: ${came}`,
              anySize
                ? "layers of this size cannot be pushed: see the function's timeout and log, and what stands in front of it"
                : `up to ${EVENT_MB} MB should pass here, and what is larger should be refused with 413`,
            ),
          );
          break;
        }
      }
    }
    return findings;
  },
};

/** In the order in which they are run: the first finds out where uploads go. */
export const UPLOAD_CHECKS: readonly Check[] = [crossHost, sameHost];
/** What takes longest. */
export const BODY_CHECKS: readonly Check[] = [bodies];
