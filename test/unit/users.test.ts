/** `lading users`: on files, on parameters, by several at once, and at a terminal. */
import { spawn } from "node:child_process";
import { chmod, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { PassThrough, Writable } from "node:stream";
import { compareSync } from "bcryptjs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { askPassword, type Terminal } from "../../bin/password.ts";
import { parseHtpasswd } from "../../shared/auth/htpasswd.ts";
import { AwsTexts } from "../../shared/reloading/aws.ts";
import { UsersFile } from "../../shared/users/users-file.ts";
import { UsersParameter } from "../../shared/users/users-parameter.ts";
import { hashPassword, namesIn, sameChange, withoutUser, withUser } from "../../shared/users/users.ts";
import { startParameterServer, type ParameterServer } from "../support/parameter-server.ts";
import { removeFolder, temporaryFolder } from "../support/temp.ts";

const HASH = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const OTHER = HASH.replace("$04$", "$05$");
const NAME = "/lading/registry/htpasswd";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  file = path.join(folder, "htpasswd");
});
afterEach(async () => {
  await removeFolder(folder);
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as it is built. */
async function lading(args: readonly string[], input = "", env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const child = spawn(process.execPath, ["dist/lading.js", "users", ...args], {
    env: { PATH: process.env["PATH"], HOME: folder, ...env },
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => (texts[name] += text));
  }
  // One that reads nothing may be gone before.
  child.stdin.on("error", () => undefined).end(input);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, ...texts };
}

describe("an htpasswd text", () => {
  it.each<[what: string, before: string, edit: (text: string) => string, after: string]>([
    [
      "gets a line at its end",
      `# people\nann:${HASH}\n`,
      withUser("bob", OTHER),
      `# people\nann:${HASH}\nbob:${OTHER}\n`,
    ],
    ["gets its last line ended first", `ann:${HASH}`, withUser("bob", OTHER), `ann:${HASH}\nbob:${OTHER}\n`],
    ["keeps its kind of line end", `ann:${HASH}\r\n\r\n`, withUser("b", OTHER), `ann:${HASH}\r\n\r\nb:${OTHER}\r\n`],
    ["begins with nothing", "", withUser("ann", HASH), `ann:${HASH}\n`],
    ["has a line replaced", `ann:${HASH}\nbob:${HASH}\n`, withUser("ann", OTHER), `ann:${OTHER}\nbob:${HASH}\n`],
    ["keeps one of two lines", `a:${HASH}\n# x\na:${OTHER}\n`, withUser("a", HASH), `a:${HASH}\n# x\n`],
    ["loses all lines of a name", `a:${HASH}\n# x\n a:${OTHER}\n`, withoutUser("a"), `# x\n`],
    ["keeps names that begin alike", `ann:${HASH}\nanna:${HASH}\n`, withoutUser("ann"), `anna:${HASH}\n`],
    ["is left alone where nobody is meant", `ann:${HASH}`, withoutUser("bob"), `ann:${HASH}`],
    [
      "is changed as another was",
      `ann:${HASH}\nbob:${HASH}\neve:${HASH}\n`,
      sameChange(`ann:${HASH}\nbob:${HASH}\n`, `dan:${HASH}\nann:${OTHER}\n`),
      `ann:${OTHER}\neve:${HASH}\ndan:${HASH}\n`,
    ],
  ])("%s", (_, before, edit, after) => {
    expect(edit(before)).toBe(after);
  });

  it("is not touched where a line cannot be used", () => {
    expect(() => withUser("bob", HASH)("ann:{SHA}x\n")).toThrow("line 1: the password of this entry is not hashed");
  });

  it.each(["", "a:b", "#ann", " ann", "ann ", "a\nb", "a\tb", "\uFEFFann", "x".repeat(256)])(
    "takes no name %j",
    (name) => {
      expect(() => withUser(name, HASH)).toThrow(/^the name /);
    },
  );

  it("holds a hash of the password, at ten", async () => {
    const made = await hashPassword("ünlock");
    expect(made).toMatch(/^\$2[aby]\$10\$/);
    expect(compareSync("ünlock", made)).toBe(true);
    expect(parseHtpasswd(`ann:${made}`).users.get("ann")).toBe(made);
    for (const bad of ["", "x".repeat(73), "ü".repeat(37), "a\0b", "a\nb"]) {
      await expect(hashPassword(bad)).rejects.toThrow(/^the password /);
    }
  });
});

describe("a file", () => {
  it("is made for its owner alone, and takes users in and out", async () => {
    expect(await lading(["add", "ann", "--file", file, "--password-stdin"], "secret\n")).toEqual({
      code: 0,
      stdout: `added ann to the file ${file}\n`,
      stderr: "",
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(compareSync("secret", parseHtpasswd(await readFile(file, "utf8")).users.get("ann") ?? "")).toBe(true);
    const env = { REGISTRY_AUTH_HTPASSWD_PATH: file };
    const again = await lading(["add", "ann", "--password-stdin"], "other", env);
    expect(again.stdout).toBe(`gave ann another password in the file ${file}\n`);
    expect(compareSync("other", parseHtpasswd(await readFile(file, "utf8")).users.get("ann") ?? "")).toBe(true);
    expect(await lading(["list"], "", env)).toMatchObject({ code: 0, stdout: "ann\n" });
    expect(await lading(["remove", "ann"], "", env)).toMatchObject({
      code: 0,
      stdout: `removed ann from the file ${file}\n`,
    });
    expect(await lading(["remove", "ann"], "", env)).toMatchObject({
      code: 1,
      stderr: `lading users: there is no user ann in the file ${file}\n`,
    });
    expect(await readdir(folder)).toEqual(["htpasswd"]);
  });

  it("is the one of a configuration", async () => {
    const config = path.join(folder, "config.yml");
    await writeFile(config, `version: 0.1\nstorage: inmemory\nauth: {htpasswd: {realm: x, path: ${file}}}\n`);
    await writeFile(file, `ann:${HASH}\n`);
    expect(await lading(["list", "--config", config])).toEqual({ code: 0, stdout: "ann\n", stderr: "" });
    expect(await lading(["list"], "", { REGISTRY_CONFIGURATION_PATH: config })).toMatchObject({ stdout: "ann\n" });
    await writeFile(config, `version: 0.1\nstorage: inmemory\nauth: {htpasswd: {path: ${file}}}\n`);
    expect(await lading(["list", "--config", config])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("auth.htpasswd.realm") as string,
    });
  });

  it("keeps its mode and the link that leads to it, and is replaced at once", async () => {
    await writeFile(file, `ann:${HASH}\n`);
    await chmod(file, 0o640);
    const link = path.join(folder, "link");
    await symlink("htpasswd", link);
    const before = await stat(file);
    const reader = await readFile(file, "utf8");
    await new UsersFile(link).change(withUser("bob", OTHER));
    const after = await stat(file);
    expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid]);
    expect(after.ino).not.toBe(before.ino);
    expect(await readFile(link, "utf8")).toBe(`${reader}bob:${OTHER}\n`);
    expect((await readdir(folder)).sort()).toEqual(["htpasswd", "link"]);
  });

  it("loses nobody's line when many add at once, in as many processes", async () => {
    const names = Array.from({ length: 4 }, (_, index) => `user${index}`);
    const ended = await Promise.all([
      ...names.map((name) => lading(["add", name, "--file", file, "--password-stdin"], "secret")),
      ...names.map(async (name) => {
        await new UsersFile(file).change(withUser(`${name}-here`, HASH));
        return { code: 0 };
      }),
    ]);
    expect(ended.map(({ code }) => code)).toEqual(Array<number>(8).fill(0));
    expect(namesIn(await readFile(file, "utf8")).sort()).toEqual(
      names.flatMap((name) => [name, `${name}-here`]).sort(),
    );
  });

  it("is not touched while somebody else changes it, nor by a change that cannot be", async () => {
    await writeFile(file, `ann:${HASH}\n`);
    await writeFile(`${file}.lock`, "");
    await expect(new UsersFile(file, { patienceMs: 0 }).change(withUser("bob", HASH))).rejects.toThrow(
      `somebody else is changing the file ${file}; if nobody is, remove ${file}.lock`,
    );
    expect(await readFile(file, "utf8")).toBe(`ann:${HASH}\n`);
    await removeFolder(`${file}.lock`);
    await writeFile(file, "ann:plain\n");
    await expect(new UsersFile(file).change(withUser("bob", HASH))).rejects.toThrow("line 1");
    await writeFile(file, Buffer.from([0x23, 0xe4, 0x0a]));
    await expect(new UsersFile(file).change(withUser("bob", HASH))).rejects.toThrow("cannot be read");
    expect(await readdir(folder)).toEqual(["htpasswd"]);
  });
});

describe("a parameter", () => {
  let server: ParameterServer;
  let aws: AwsTexts;
  beforeAll(async () => {
    server = await startParameterServer();
    for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value);
    aws = new AwsTexts();
  });
  beforeEach(() => {
    server.texts.set(NAME, `# people\nann:${HASH}\n`);
  });
  afterEach(() => {
    server.heal();
  });
  afterAll(async () => {
    await aws.close();
    await server.close();
    vi.unstubAllEnvs();
  });

  it("takes users in and out, in the region that is said", async () => {
    const where = ["--parameter", NAME, "--region", "eu-west-1"];
    expect(await lading(["add", "bob", "--password-stdin", ...where], "secret", server.env)).toMatchObject({
      code: 0,
      stdout: `added bob to ssm:${NAME}\n`,
    });
    expect(server.asked.at(-1)).toBe(`ssm:${NAME} eu-west-1`);
    expect(compareSync("secret", parseHtpasswd(server.texts.get(NAME) ?? "").users.get("bob") ?? "")).toBe(true);
    expect(await lading(["remove", "ann", ...where], "", server.env)).toMatchObject({ code: 0 });
    const env = { ...server.env, REGISTRY_AUTH_HTPASSWD_PATH: `ssm:${NAME}` };
    expect(await lading(["list"], "", env)).toMatchObject({ code: 0, stdout: "bob\n" });
    expect(server.texts.get(NAME)).toMatch(/^# people\nbob:/);
  });

  it.each<[what: string, prepare: () => void, message: string]>([
    ["is not there", () => server.texts.clear(), `ssm:${NAME} cannot be read: ParameterNotFound`],
    ["may not be read", () => server.fail("denied"), "it takes the right to ssm:GetParameter"],
  ])("that %s is told of", async (_, prepare, message) => {
    prepare();
    const { code, stderr } = await lading(["add", "bob", "--password-stdin", "--parameter", NAME], "x", server.env);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it("that may not be written is told of", async () => {
    const store = new UsersParameter(aws, NAME);
    const edit = (text: string): string => {
      server.fail("denied");
      return withUser("bob", HASH)(text);
    };
    await expect(store.change(edit)).rejects.toThrow(/cannot be written: .*it takes the right to ssm:PutParameter/);
  });

  it("gets back what somebody else wrote between the reading and the writing", async () => {
    server.beforeWrite = () => server.texts.set(NAME, `# people\neve:${HASH}\n`);
    await new UsersParameter(aws, NAME).change(withUser("bob", OTHER));
    // ann was taken out meanwhile, and eve added.
    expect(server.texts.get(NAME)).toBe(`# people\nbob:${OTHER}\neve:${HASH}\n`);
  });

  it("is written as it should be when the answer to a write is lost", async () => {
    const edit = (text: string): string => {
      server.fail("lost", 1);
      return withUser("bob", OTHER)(text);
    };
    await new UsersParameter(aws, NAME).change(edit);
    expect(server.texts.get(NAME)).toBe(`# people\nann:${HASH}\nbob:${OTHER}\n`);
  });

  it("loses nobody when many add at once", async () => {
    const names = Array.from({ length: 6 }, (_, index) => `user${index}`);
    await Promise.all(names.map((name) => new UsersParameter(aws, NAME).change(withUser(name, HASH))));
    expect(namesIn(server.texts.get(NAME) ?? "").sort()).toEqual(["ann", ...names]);
  });
});

describe("the command", () => {
  it.each<[args: string[], message: string]>([
    [[], "expected add NAME, remove NAME or list"],
    [["add"], "expected one name after add"],
    [["add", "a", "b"], "expected one name after add"],
    [["list", "--password-stdin"], "--password-stdin goes with add"],
    [["list", "--file", "a", "--parameter", "b"], "expected one of --file, --parameter and --config"],
    [["list", "--fil", "a"], "there is no option --fil; did you mean --file?"],
  ])("with %j says what it expected", async (args, message) => {
    const { code, stderr } = await lading(args);
    expect(code).toBe(2);
    expect(stderr).toContain(`lading users: ${message}`);
  });

  it.each<[args: string[], input: string, env: Record<string, string>, message: string]>([
    [["list"], "", {}, "say where the users are kept, with --file, --parameter or --config"],
    [["list", "--file", "/nowhere/htpasswd"], "", {}, "the file /nowhere/htpasswd does not exist"],
    [["list"], "", { REGISTRY_AUTH_HTPASSWD_PATH: "secretsmanager:a" }, "lading only reads"],
    [["list", "--config", "config-example.yml"], "", { REGISTRY_AUTH: "none" }, "everybody may do everything"],
    [["add", "a:b", "--file", "x"], "", {}, "the name holds a colon"],
    [["add", "ann", "--file", "x"], "secret", {}, "there is no terminal to ask for a password at"],
    [["add", "ann", "--file", "x", "--password-stdin"], "a\nb\n", {}, "standard input holds more than one line"],
    [["add", "ann", "--file", "x", "--password-stdin"], "\n", {}, "the password is empty"],
  ])("%j that cannot be done says why", async (args, input, env, message) => {
    const { code, stdout, stderr } = await lading(args, input, env);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(message);
  });
});

describe("a password at a terminal", () => {
  function terminal(): Terminal & { readonly type: (text: string) => void; readonly shown: () => string } {
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => undefined });
    let shown = "";
    const output = new Writable({
      write: (chunk: Buffer, _, done) => {
        shown += chunk.toString();
        done();
      },
    });
    return { input, output, type: (text) => void input.write(text), shown: () => shown };
  }

  it("is asked for twice and never shown", async () => {
    const { type, shown, ...parts } = terminal();
    const asked = askPassword(parts);
    type("secreX\x7ft\rsecret\r");
    expect(await asked).toBe("secret");
    expect(shown()).toBe("Password: \nAgain: \n");
  });

  it("is none where the two differ, or where it is ended", async () => {
    const first = terminal();
    const differing = askPassword(first);
    first.type("secret\rsecrets\r");
    await expect(differing).rejects.toThrow("the two passwords differ");
    const second = terminal();
    const ended = askPassword(second);
    second.type("sec\x03");
    await expect(ended).rejects.toThrow("no password was given");
  });
});
