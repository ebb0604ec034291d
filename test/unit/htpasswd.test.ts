import { execFile } from "node:child_process";
import { mkdtemp, rename, rm, truncate, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { anonymousAuthenticator, TooManyAttemptsError, UnauthorizedError } from "../../shared/auth/authenticator.ts";
import { allowAll } from "../../shared/auth/authorizer.ts";
import { basicChallenge, parseBasicHeader } from "../../shared/auth/basic.ts";
import { BcryptPool, type BcryptPoolOptions } from "../../shared/auth/bcrypt-pool.ts";
import { HtpasswdAuthenticator } from "../../shared/auth/htpasswd-authenticator.ts";
import { HtpasswdError, parseHtpasswd } from "../../shared/auth/htpasswd.ts";
import { fileSource } from "../../shared/reloading/file.ts";
import { parameterSource } from "../../shared/reloading/parameter.ts";

// Made by libxcrypt's crypt(3), the code behind `htpasswd -B` on most systems.
const SECRET_04 = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const SECRET_05 = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";
const SECRET_12 = "$2y$12$Q1Q2Q3Q4Q5Q6Q7Q8Q9Q0QumnRzBeFbnSPwf1kZdgixpWRq8v4poxa";
/** A comparison with it takes days: what is said of one that runs is then true whenever a test looks. */
const ENDLESS = SECRET_12.replace("$12$", "$31$");
const UMLAUT_04 = "$2y$04$abcdefghijklmnopqrstuuyx2n0Zzopyr9QuYTMCfOJJOj526QVoC";
const EMPTY_04 = "$2y$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq";
const X72_04 = "$2y$04$Q1Q2Q3Q4Q5Q6Q7Q8Q9Q0Quwfa9YhsAm/0OWYaLnf6yfk3r6WhkN52";

function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}

describe("parseHtpasswd", () => {
  it("reads entries between comments and blank lines, with either line end", () => {
    const { users, highestCost } = parseHtpasswd(
      `\uFEFF# people\r\n\r\nalice:${SECRET_04}\r\n  bob:${SECRET_05}  \n#carol:x\ndäve:${SECRET_04}`,
    );
    expect([...users.keys()]).toEqual(["alice", "bob", "däve"]);
    expect(users.get("bob")).toBe(SECRET_05);
    expect(highestCost).toBe(5);
  });

  it("lets the last line of a name count, for its cost too", () => {
    const { users, highestCost } = parseHtpasswd(`a:${SECRET_12}\na:${SECRET_04}\n`);
    expect(users.get("a")).toBe(SECRET_04);
    expect(highestCost).toBe(4);
  });

  it("takes an empty file as nobody", () => {
    expect(parseHtpasswd("").users.size).toBe(0);
  });

  it.each([
    ["apr1", "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/"],
    ["sha", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="],
    ["plain", "swordfish"],
    ["empty", ""],
    ["cost 03", SECRET_04.replace("$04$", "$03$")],
    ["cost 32", SECRET_04.replace("$04$", "$32$")],
    ["2x", SECRET_04.replace("$2y$", "$2x$")],
    ["short", SECRET_04.slice(0, -1)],
    ["long", `${SECRET_04}x`],
  ])("refuses a hash that is not bcrypt (%s) by its line, without quoting it", (_kind, hash) => {
    let error: unknown;
    try {
      parseHtpasswd(`# one\nalice:${SECRET_04}\nbob:${hash}\n`);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(HtpasswdError);
    expect(error).toMatchObject({ line: 3 });
    expect(String(error)).toContain("htpasswd -B");
    if (hash !== "") expect(String(error)).not.toContain(hash);
  });

  it.each(["alice", `:${SECRET_04}`, `al\uFFFDce:${SECRET_04}`])("refuses the line %j", (line) => {
    expect(() => parseHtpasswd(line)).toThrow(HtpasswdError);
  });
});

describe("parseBasicHeader", () => {
  it.each([
    [basic("alice", "secret"), "alice", "secret"],
    [`bAsIc   ${Buffer.from("a:b").toString("base64")} `, "a", "b"],
    [basic("a", "b:c"), "a", "b:c"],
    [basic("ä", "ö"), "ä", "ö"],
    [basic("a", ""), "a", ""],
    ["Basic YTpi", "a", "b"],
    ["Basic YTpiYw", "a", "bc"],
  ])("reads %j", (header, name, password) => {
    expect(parseBasicHeader(header)).toEqual({ kind: "credentials", credentials: { name, password } });
  });

  it.each([
    [undefined, "missing"],
    ["", "missing"],
    ["Basic Og==", "missing"],
    [basic("", "password"), "missing"],
    ["Basic", "malformed"],
    ["Basic ", "malformed"],
    ["Basic a", "malformed"],
    ["Basic YTpi=", "malformed"],
    ["Basic YTp!", "malformed"],
    ["Basic YWxpY2U=", "malformed"],
    ["Basic /zph", "malformed"],
    ["Bearer abc", "malformed"],
    [`Basic ${"A".repeat(5000)}`, "malformed"],
  ])("takes %j as %s", (header, kind) => {
    expect(parseBasicHeader(header)).toEqual({ kind });
  });
});

describe("basicChallenge", () => {
  it("escapes what would end the realm", () => {
    expect(basicChallenge('a "b" \\c')).toBe('Basic realm="a \\"b\\" \\\\c"');
  });
  it("sends other alphabets as UTF-8 bytes", () => {
    expect(Buffer.from(basicChallenge("ä"), "latin1").toString("utf8")).toBe('Basic realm="ä"');
  });
  it("refuses a line break", () => {
    expect(() => basicChallenge("a\r\nX: y")).toThrow(RangeError);
  });
});

describe("a registry without users", () => {
  it("asks nobody and lets everyone do everything", async () => {
    expect(anonymousAuthenticator.challenge).toBeUndefined();
    const principal = await anonymousAuthenticator.authenticate("Basic nonsense");
    expect(principal).toEqual({ kind: "anonymous" });
    expect(allowAll.authorize(principal, [{ kind: "repository", repository: "a", actions: ["push"] }])).toBe(true);
    expect(allowAll.mayPullEverywhere(principal)).toBe(true);
  });
});

describe("HtpasswdAuthenticator", () => {
  let folder: string;
  let workerUrl: URL;
  const opened: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "htpasswd-test-"));
    workerUrl = new URL("../../dist/bcrypt-worker.js", import.meta.url);
    if (!existsSync(workerUrl)) {
      // Under node_modules, from where the worker finds its packages.
      const outfile = join(import.meta.dirname, "../../node_modules/.cache/lading-test/bcrypt-worker.mjs");
      await build({
        entryPoints: [join(import.meta.dirname, "../../shared/auth/bcrypt-worker.ts")],
        outfile,
        bundle: true,
        packages: "external",
        platform: "node",
        format: "esm",
      });
      workerUrl = pathToFileURL(outfile);
    }
  });
  afterEach(async () => {
    for (const close of opened.splice(0)) await close();
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  let count = 0;
  async function setup(lines: string[], poolOptions: BcryptPoolOptions = {}) {
    const path = join(folder, `htpasswd-${++count}`);
    await writeFile(path, lines.join("\n"));
    const logged: [string, Readonly<Record<string, unknown>>][] = [];
    const pool = new BcryptPool({ workerUrl, ...poolOptions });
    const auth = await HtpasswdAuthenticator.create({
      source: fileSource(path),
      realm: "Registry",
      pool,
      logError: (message, fields) => logged.push([message, fields]),
    });
    opened.push(async () => {
      await auth.close();
      await pool.close();
    });
    const answer = async (name: string, password: string): Promise<string> => {
      try {
        const principal = await auth.authenticate(basic(name, password));
        return principal.kind === "user" ? `ok ${principal.name}` : principal.kind;
      } catch (error) {
        if (error instanceof UnauthorizedError) return "401";
        if (error instanceof TooManyAttemptsError) return "429";
        throw error;
      }
    };
    return { path, auth, pool, logged, answer };
  }

  it.each([
    ["$2a$", SECRET_04.replace("$2y$", "$2a$"), "secret"],
    ["$2b$", SECRET_04.replace("$2y$", "$2b$"), "secret"],
    ["$2y$", SECRET_04, "secret"],
    ["cost 5", SECRET_05, "secret"],
    ["UTF-8", UMLAUT_04, "pässwörd"],
    ["an empty password", EMPTY_04, ""],
    ["72 bytes", X72_04, "x".repeat(72)],
  ])("verifies %s", async (_kind, hash, password) => {
    const { answer } = await setup([`alice:${hash}`]);
    expect(await answer("alice", password)).toBe("ok alice");
    expect(await answer("alice", `${password.slice(1)}?`)).toBe("401");
    expect(await answer("Alice", password)).toBe("401");
  });

  it("asks for credentials without comparing anything", async () => {
    const { auth } = await setup([`alice:${SECRET_04}`]);
    for (const header of [undefined, "", "Basic Og==", "Bearer x", "Basic !!!"]) {
      await expect(auth.authenticate(header)).rejects.toMatchObject({
        name: "UnauthorizedError",
        challenge: 'Basic realm="Registry"',
      });
    }
    expect(auth.challenge).toBe('Basic realm="Registry"');
    expect(auth.counters.comparisons).toBe(0);
  });

  it("refuses a password beyond bcrypt's 72 bytes, or with NUL, for known and unknown names alike", async () => {
    const { auth } = await setup([`alice:${X72_04}`]);
    for (const password of ["x".repeat(73), "ä".repeat(37), "secret\0"]) {
      const errors = await Promise.all(
        ["alice", "nobody"].map(
          async (name) => await auth.authenticate(basic(name, password)).catch((error: unknown) => String(error)),
        ),
      );
      expect(errors[0]).toMatch(/^UnauthorizedError/);
      expect(errors[1]).toBe(errors[0]);
    }
    expect(auth.counters.comparisons).toBe(0);
  });

  it("compares a credential once, not once a request", async () => {
    const { auth, answer } = await setup([`alice:${SECRET_04}`]);
    for (let request = 0; request < 1000; request++) expect(await answer("alice", "secret")).toBe("ok alice");
    expect(auth.counters).toMatchObject({ comparisons: 1, remembered: 999 });
  });

  it.each([
    ["secret", "ok alice"],
    ["wrong", "401"],
  ])("shares the first comparison of a credential: %s", async (password, wanted) => {
    const { auth, pool, answer } = await setup([`alice:${SECRET_04}`]);
    // It does not end before all have come.
    let allHaveCome = (): void => undefined;
    const gate = new Promise<void>((resolve) => (allHaveCome = resolve));
    const compare = pool.compare.bind(pool);
    pool.compare = async (request) => await gate.then(async () => await compare(request));
    const answers = Promise.all(Array.from({ length: 100 }, async () => await answer("alice", password)));
    await expect.poll(() => auth.counters.shared).toBe(99);
    allHaveCome();
    expect(new Set(await answers)).toEqual(new Set([wanted]));
    expect(auth.counters.comparisons).toBe(1);
  });

  it("does not remember a failure", async () => {
    const { auth, answer } = await setup([`alice:${SECRET_04}`]);
    await answer("alice", "wrong");
    await answer("alice", "wrong");
    expect(auth.counters.comparisons).toBe(2);
  });

  it("answers and counts the same for an unknown name as for a wrong password", async () => {
    const { auth } = await setup([`alice:${SECRET_04}`, `bob:${SECRET_05}`]);
    const messages: string[] = [];
    for (const name of ["alice", "bob", "nobody"]) {
      const before = auth.counters.comparisons;
      await auth.authenticate(basic(name, "wrong")).catch((error: unknown) => messages.push(String(error)));
      expect(auth.counters.comparisons).toBe(before + 1);
    }
    expect(messages).toHaveLength(3);
    expect(new Set(messages).size).toBe(1);
  });

  it("asks for as much work for an unknown name and for a cheap hash as for the dearest one", async () => {
    const { pool, answer } = await setup([`cheap:${SECRET_04}`, `dear:${SECRET_05}`]);
    const asked: [hash: string | undefined, cost: number][] = [];
    const compare = pool.compare.bind(pool);
    pool.compare = async (request) => {
      asked.push([request.hash, request.cost]);
      return await compare(request);
    };
    // What a comparison then does is counted in bcrypt-compare.test.ts.
    for (const name of ["dear", "cheap", "nobody"]) expect(await answer(name, "wrong")).toBe("401");
    expect(asked).toEqual([
      [SECRET_05, 5],
      [SECRET_04, 5],
      [undefined, 5],
    ]);
  });

  it("ends an old password at once and takes the new one, however the file is written", async () => {
    const { path, auth, answer } = await setup([`alice:${SECRET_04}`]);
    for (let round = 0; round < 10; round++) {
      expect(await answer("alice", "secret")).toBe("ok alice");
      await writeFile(path, `alice:${UMLAUT_04}`); // in place, the same size
      expect(await answer("alice", "secret")).toBe("401");
      expect(await answer("alice", "pässwörd")).toBe("ok alice");
      await writeFile(`${path}.new`, `alice:${SECRET_04}`);
      await rename(`${path}.new`, path);
      expect(await answer("alice", "pässwörd")).toBe("401");
    }
    await writeFile(path, `bob:${SECRET_04}`);
    expect(await answer("alice", "secret")).toBe("401");
    expect(await answer("bob", "secret")).toBe("ok bob");
    expect(auth.counters.remembered).toBe(0);
  });

  it("keeps the last good content of a file that turns bad, and says so once", async () => {
    const { path, answer, logged } = await setup([`alice:${SECRET_04}`]);
    await writeFile(path, `alice:${UMLAUT_04}\nbob:swordfish\n`);
    for (let request = 0; request < 20; request++) expect(await answer("alice", "secret")).toBe("ok alice");
    expect(logged).toHaveLength(1);
    expect(logged[0]?.[1]).toMatchObject({ htpasswd: `file ${path}`, line: 2 });
    expect(String(logged[0]?.[1]["error"])).not.toContain("swordfish");

    await rm(path);
    for (let request = 0; request < 20; request++) expect(await answer("alice", "secret")).toBe("ok alice");
    expect(logged).toHaveLength(2);

    await writeFile(path, `alice:${UMLAUT_04}\n`);
    expect(await answer("alice", "secret")).toBe("401");
    expect(await answer("alice", "pässwörd")).toBe("ok alice");
    expect(logged).toHaveLength(2);
  });

  it("reads users from a parameter once a minute, whatever passwords come, and lets in who was added", async () => {
    let text = `alice:${SECRET_04}`;
    let readings = 0;
    let now = 0;
    const read = async (): Promise<string> => {
      readings++;
      return await Promise.resolve(text);
    };
    const pool = new BcryptPool({ workerUrl });
    opened.push(async () => await pool.close());
    const source = parameterSource({ name: "parameter ssm:/users", read, clock: () => now });
    const logged: [string, Readonly<Record<string, unknown>>][] = [];
    const logError = (...line: (typeof logged)[number]): void => void logged.push(line);
    const auth = await HtpasswdAuthenticator.create({ source, realm: "Registry", pool, logError });
    const isIn = async (name: string, password = "secret"): Promise<boolean> =>
      await auth.authenticate(basic(name, password)).then(
        () => true,
        () => false,
      );
    expect(await isIn("alice")).toBe(true);
    text = `bob:${SECRET_04}`;
    for (let guess = 0; guess < 20; guess++) expect(await isIn("alice", String(guess))).toBe(false);
    expect(await isIn("bob")).toBe(false);
    expect(readings).toBe(1);
    now += 60_000;
    expect([await isIn("bob"), await isIn("alice")]).toEqual([true, false]);
    expect(readings).toBe(2);
    text = `bob:${SECRET_04}\ncarol:swordfish`;
    now += 60_000;
    expect(await isIn("bob")).toBe(true);
    expect(logged).toEqual([[expect.any(String), expect.objectContaining({ htpasswd: source.name, line: 2 })]]);
    const create = HtpasswdAuthenticator.create({ source, realm: "r", pool, logError });
    await expect(create).rejects.toThrow(/^htpasswd parameter ssm:\/users, line 2: .*bcrypt/);
  });

  it("does not start with a file that is missing, bad, too large or no file", async () => {
    const logError = (): void => undefined;
    const create = async (path: string, realm = "r") =>
      await HtpasswdAuthenticator.create({ source: fileSource(path), realm, logError });
    await expect(create(join(folder, "none"))).rejects.toThrow(/none does not exist.*htpasswd -B -c/);
    await expect(create(folder)).rejects.toThrow(/not a regular file/);
    const bad = join(folder, "bad");
    await writeFile(bad, "\nbob:swordfish\n");
    await expect(create(bad)).rejects.toThrow(/bad, line 2: .*htpasswd -B/);
    const large = join(folder, "large");
    await writeFile(large, "");
    await truncate(large, 2 * 1024 * 1024);
    await expect(create(large)).rejects.toThrow(/larger than/);
    const good = join(folder, "good");
    await writeFile(good, "");
    await expect(create(good, "a\nb")).rejects.toThrow(RangeError);
  });

  it("leaves the event loop free during a comparison", async () => {
    const { auth, pool } = await setup([`alice:${ENDLESS}`]);
    const waiting = auth.authenticate(basic("alice", "secret"));
    waiting.catch(() => undefined);
    await expect.poll(() => pool.counters.comparisons).toBe(1);
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    await pool.close();
    await expect(waiting).rejects.toThrow(/closed/);
  });

  it("never keeps the process alive", async () => {
    const out = join(import.meta.dirname, "../../node_modules/.cache/lading-test");
    const program = join(out, `pool-program-${process.pid}.mjs`);
    await build({
      stdin: {
        contents: `
          import { BcryptPool } from "./shared/auth/bcrypt-pool.ts";
          const pool = new BcryptPool({ workerUrl: new URL(process.argv[2]) });
          const alive = setInterval(() => undefined, 1000);
          await pool.compare({ password: "secret", hash: process.argv[3], cost: 4 });
          clearInterval(alive);
          void pool.compare({ password: "wrong", hash: process.argv[3], cost: 31 });
        `,
        resolveDir: join(import.meta.dirname, "../.."),
        loader: "ts",
      },
      outfile: program,
      bundle: true,
      packages: "external",
      platform: "node",
      format: "esm",
    });
    try {
      await promisify(execFile)(process.execPath, [program, workerUrl.href, SECRET_04], { timeout: 60_000 });
    } finally {
      await rm(program, { force: true });
    }
  });

  it("refuses more attempts than it can hold, but not those it remembers", async () => {
    const { auth, pool, answer } = await setup([`alice:${SECRET_04}`, `bob:${ENDLESS}`], { maxQueue: 2 });
    expect(await answer("alice", "secret")).toBe("ok alice");
    // As dear as Bob's: one runs and two wait for as long as the pool is open.
    const guesses = Promise.allSettled(
      Array.from({ length: 10 }, async (_, guess) => await answer(`nobody${guess}`, "guess")),
    );
    await expect.poll(() => auth.counters.queueRejected).toBe(7);
    expect(await answer("alice", "secret")).toBe("ok alice");
    await pool.close();
    const outcomes = await guesses;
    expect(outcomes.filter((each) => each.status === "fulfilled" && each.value === "429")).toHaveLength(7);
    expect(outcomes.filter((each) => each.status === "rejected" && /closed/.test(String(each.reason)))).toHaveLength(3);
    expect(auth.counters.queueRejected).toBe(7);
    expect(new TooManyAttemptsError(0.2).retryAfterSeconds).toBe(1);
  });

  it("rejects what a dead worker was comparing and starts another", async () => {
    const { pool, answer } = await setup([`alice:${ENDLESS}`], { maxRunMs: 20 });
    await expect(answer("alice", "secret")).rejects.toThrow(/longer than 20 ms/);
    await expect(answer("alice", "secret")).rejects.toThrow(/longer than 20 ms/);
    expect(pool.counters).toMatchObject({ comparisons: 2, workersLost: 2 });
  });

  it("rejects, and does not hang, when the worker cannot be loaded or the pool is closed", async () => {
    const pool = new BcryptPool({ workerUrl: pathToFileURL(join(folder, "missing.js")) });
    const request = { password: "p", hash: SECRET_04, cost: 4 };
    await expect(pool.compare(request)).rejects.toThrow(/worker/);
    await expect(Promise.all([pool.compare(request), pool.compare(request)])).rejects.toThrow(/worker/);
    await pool.close();
    await expect(pool.compare(request)).rejects.toThrow(/closed/);

    const { auth, pool: closing } = await setup([`alice:${ENDLESS}`]);
    const waiting = auth.authenticate(basic("alice", "secret"));
    waiting.catch(() => undefined);
    await expect.poll(() => closing.counters.comparisons).toBe(1);
    await closing.close();
    await expect(waiting).rejects.toThrow(/closed/);
  });
});
