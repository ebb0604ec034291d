/** What can be seen before anybody signs in, and whether signing in works. */
import { payload } from "./client.ts";
import { fail, note, ofEach, pass, textOf } from "./findings.ts";
import { AGENTS, type Check } from "./visit.ts";

/** A certificate that ends sooner should have been renewed. */
const CERTIFICATE_DAYS = 14;
/** Signed URLs are refused by a store whose clock differs more; Amazon S3 allows 15 minutes. */
const CLOCK_MS = 60_000;
/** Larger than what clients send with long tokens, smaller than API Gateway's 10,240 bytes. */
const HEADER_BYTES = 8_000;
const DAY_MS = 86_400_000;

const tls: Check = {
  name: "tls",
  run: async (visit) =>
    await ofEach(visit, async (address) => {
      if (!address.url.startsWith("https:")) {
        return note("speaks plain HTTP", "most clients want HTTPS of a registry that is not on their own machine");
      }
      const { certificateEnds } = await visit.askAnybody("GET", `${address.url}/v2/`);
      const days = Math.floor(((certificateEnds?.getTime() ?? 0) - Date.now()) / DAY_MS);
      return days < CERTIFICATE_DAYS
        ? fail(`the certificate ends in ${days} days`, "see why it is not renewed: in ACM, or with whoever issued it")
        : pass(`the certificate is good for ${days} days`);
    }),
};

const clock: Check = {
  name: "clock",
  run: async (visit) =>
    await ofEach(visit, async (address) => {
      const before = Date.now();
      const date = (await visit.askAnybody("GET", `${address.url}/v2/`)).header("date");
      if (date === undefined) return note("the answer has no Date");
      const time = Date.parse(date);
      const off = time < before ? before - time - 1000 : time - Date.now();
      return off > CLOCK_MS
        ? fail(
            `its clock and this machine's are ${Math.round(off / 1000)} s apart`,
            "set the clock of the one that is wrong: signed URLs are refused otherwise",
          )
        : pass("its clock and this machine's agree");
    }),
};

const challenge: Check = {
  name: "challenge",
  run: async (visit) =>
    await ofEach(visit, async (address) => {
      const reply = await visit.askAnybody("GET", `${address.url}/v2/`);
      const advice =
        "clients cannot sign in here; use another front door (-c frontDoor=cloudfront), or the uploads address";
      if (reply.status === 200) return note("open to everybody", "set auth.htpasswd unless that is meant");
      if (reply.status !== 401) {
        return fail(`GET /v2/ is answered ${reply.status}: ${textOf(reply.body)}`, "the function's log says why");
      }
      if (reply.header("www-authenticate") !== undefined) return pass("401 comes with WWW-Authenticate");
      return reply.header("x-amzn-remapped-www-authenticate") === undefined
        ? fail("401 comes without WWW-Authenticate", advice)
        : fail("WWW-Authenticate comes as x-amzn-remapped-www-authenticate", advice);
    }),
};

const signIn: Check = {
  name: "sign-in",
  run: async (visit) =>
    await ofEach(visit, async (address) => {
      const { status, body } = await visit.ask("GET", address, "/v2/");
      if (status === 200)
        return pass(visit.options.user === undefined ? "nobody is asked for a password" : "the password is taken");
      return visit.options.user === undefined
        ? fail(`answers ${status} without a user`, "give one: LADING_USER and LADING_PASSWORD, who may push")
        : fail(`answers ${status} to this user: ${textOf(body)}`, "check the password, and the htpasswd parameter");
    }),
};

const headers: Check = {
  name: "headers",
  run: async (visit) =>
    await ofEach(visit, async (address) => {
      const version = (await visit.ask("GET", address, "/v2/")).header("docker-distribution-api-version");
      return version === "registry/2.0"
        ? pass("says that it is a registry")
        : fail(
            `Docker-Distribution-API-Version is ${version ?? "missing"}`,
            "something in front removes headers, or this is another service: old clients look for it",
          );
    }),
};

const largeHeaders: Check = {
  name: "large-headers",
  run: async (visit) =>
    await ofEach(visit, async (address) => {
      const { status } = await visit.ask("GET", address, "/v2/", { headers: { "x-doctor": "x".repeat(HEADER_BYTES) } });
      return status < 400
        ? pass(`takes ${HEADER_BYTES} bytes of headers`)
        : fail(`answers ${status} to ${HEADER_BYTES} bytes of headers`, "long tokens and cookies may be refused here");
    }),
};

const concurrency: Check = {
  name: "concurrency",
  run: async (visit) =>
    await ofEach(visit, async (address) => {
      const { atOnce } = visit.options;
      const asked = Array.from({ length: atOnce }, async () => (await visit.ask("GET", address, "/v2/")).status);
      const statuses = await Promise.all(asked);
      const refused = statuses.filter((status) => status >= 400);
      if (refused.length === 0) return pass(`answers ${atOnce} requests at once`);
      return fail(
        `refuses ${refused.length} of ${atOnce} requests at once, with ${[...new Set(refused)].join(" and ")}`,
        "new AWS accounts run 10 at a time: ask for more (Service Quotas, Lambda, concurrent executions), and see the API's throttle limits",
      );
    }),
};

const earlyAnswer: Check = {
  name: "early-answer",
  run: async (visit) => {
    const path = visit.path(`blobs/uploads/00000000-0000-8000-8000-000000000000?digest=${payload(1).digest}`);
    return await ofEach(visit, async (address) => {
      const size = 3 * 1024 * 1024;
      const reply = await visit
        .ask("PUT", address, path, { body: payload(size) })
        .catch((error: unknown) => String(error));
      if (typeof reply === "string") {
        return fail(
          `cuts a body that it does not want: ${reply}`,
          "clients are told nothing then, and try again for long",
        );
      }
      return reply.status === 404
        ? pass("answers 404 to a body that it does not want, after all of it")
        : fail(
            `answers ${reply.status} to a body for no session, not 404`,
            "something in front answers instead of the registry",
          );
    });
  },
};

const expectation: Check = {
  name: "expect",
  run: async (visit) => {
    return await ofEach(visit, async (address) => {
      const begun = await visit.beginUpload(address, AGENTS.unknown);
      if ("refused" in begun) return fail(`begins no upload: ${begun.refused.status}`, "the function's log says why");
      const reply = await visit.endUpload(begun.location, payload(2_000_000), true, {
        headers: { expect: "100-continue" },
      });
      return reply.status === 201
        ? pass("takes Expect: 100-continue")
        : fail(
            `answers ${reply.status} to Expect: 100-continue`,
            "curl sends it with bodies above 1 MB (-H 'Expect:' turns it off); the registry's clients do not",
          );
    });
  },
};

/** In the order in which they are run. Without a sign-in the others can see nothing. */
export const CONNECTION_CHECKS: readonly Check[] = [tls, clock, challenge, signIn, headers, largeHeaders, concurrency];
/** These push something. */
export const REQUEST_CHECKS: readonly Check[] = [earlyAnswer, expectation];
