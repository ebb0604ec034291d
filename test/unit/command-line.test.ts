/** What all commands do alike: help, options and commands that there are not, and an output that nobody reads any more. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseOptions } from "../../bin/options.ts";
import { examine, type Observation } from "../../shared/doctor/doctor.ts";
import { startLading } from "../support/lading.ts";
import { runAny } from "../support/process.ts";
import { everythingIn, removeFolder, temporaryFolder } from "../support/temp.ts";
import { runUnread } from "../support/unread.ts";

const COMMANDS = ["serve", "users", "garbage-collect", "gc", "verify", "doctor"];
const LADING = [process.execPath, "dist/lading.js"];

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(async () => {
  await removeFolder(folder);
});

const run = async (...args: string[]) => await runAny([...LADING, ...args], { env: {} });

it("each says how it is called when it is asked, and ends quietly where nobody reads that", async () => {
  for (const command of ["", ...COMMANDS]) {
    const begins = `usage: lading ${command || "serve"}`;
    const { code, stdout, stderr } = await run(...[command, "--help"].filter((word) => word !== ""));
    expect({ code, stderr, begins: stdout.slice(0, begins.length) }).toEqual({ code: 0, stderr: "", begins });
    expect(await run(...[command, "-h"].filter((word) => word !== ""))).toEqual({ code, stdout, stderr });
    const unread = await runUnread([...LADING, ...[command, "--help"].filter((word) => word !== "")], { env: {} });
    expect(unread).toEqual({ code: 141, stdout: "", stderr: "" });
  }
});

describe("a word that there is not", () => {
  it.each([
    ["garbage-collect --dryrun", "lading garbage-collect: there is no option --dryrun; did you mean --dry-run?"],
    ["garbage-collect --dry", "lading garbage-collect: there is no option --dry; did you mean --dry-run?"],
    ["garbage-collect -dry-run", "lading garbage-collect: there is no option -dry-run; did you mean --dry-run?"],
    ["garbage-collect --purple", "lading garbage-collect: there is no option --purple"],
    ["gc runs --quite", "lading gc: there is no option --quite; did you mean --quiet?"],
    ["gc shwo 2026", "lading gc: there is no command shwo; did you mean show?"],
    ["gc", "lading gc: expected runs, show or undo"],
    ["gc runs a.yml b.yml", "lading gc: expected runs, show or undo"],
    [
      "gc undo config.yml",
      'lading gc: expected the name of a run, as "lading gc runs" lists them, and then the configuration file',
    ],
    [
      "gc show config.yml 2026",
      'lading gc: expected the name of a run, as "lading gc runs" lists them, and then the configuration file',
    ],
    ["garbage-collect -d=maybe", 'lading garbage-collect: -d is on or off: expected true or false, got "maybe"'],
    ["verify --jsn=1 x.yml", "lading verify: there is no option --jsn; did you mean --json?"],
    ["users list --fiel x", "lading users: there is no option --fiel; did you mean --file?"],
    ["users ad bob", "lading users: there is no command ad; did you mean add?"],
    ["users list ann", "lading users: expected add NAME, remove NAME or list"],
    ["doctor --quik localhost", "lading doctor: there is no option --quik; did you mean --quick?"],
    ["serve --hlep", "lading serve: there is no option --hlep; did you mean --help?"],
    ["serve --config x.yml", "lading serve: there is no option --config"],
    ["serve a.yml b.yml", "lading serve: expected one configuration file"],
    ["garbagecollect", "lading: there is no command garbagecollect; did you mean garbage-collect?"],
    ["frobnicate", "lading: there is no command frobnicate"],
    ["constructor", "lading: there is no command constructor"],
  ])("lading %s", async (args, sentence) => {
    const { code, stdout, stderr } = await run(...args.split(" "));
    const [first, empty, usage = ""] = stderr.split("\n");
    expect({ code, stdout, first, empty }).toEqual({ code: 2, stdout: "", first: sentence, empty: "" });
    expect(usage).toMatch(/^usage: lading /);
  });

  it("is told to nobody where nobody reads it", async () => {
    for (const args of [["frobnicate"], ["users", "ad"], ["doctor", "--quik"], ["serve", "--hlep"]]) {
      const unread = await runUnread([...LADING, ...args], { env: {} }, "stderr");
      expect(unread, args.join(" ")).toEqual({ code: 141, stdout: "", stderr: "" });
    }
  });
});

describe("a switch with a value, as distribution's users write it", () => {
  const options = {
    "dry-run": { type: "boolean", short: "d" },
    "delete-untagged": { type: "boolean", short: "m" },
    file: { type: "string" },
  } as const;
  const read = (...args: string[]) => parseOptions({ args, options, allowPositionals: true });

  it.each([
    ["--delete-untagged=true", { "delete-untagged": true }],
    ["-m=true -d=1", { "delete-untagged": true, "dry-run": true }],
    ["-dm", { "delete-untagged": true, "dry-run": true }],
    ["--dry-run=TRUE", { "dry-run": true }],
    ["--dry-run=false", {}],
    ["-m --delete-untagged=false", {}],
    ["--delete-untagged=false -m", { "delete-untagged": true }],
    ["--file=true", { file: "true" }],
  ])("%s", (args, values) => {
    expect({ ...read(...args.split(" ")).values }).toEqual(values);
  });

  it("is one no longer after --", () => {
    expect(read("-m=true", "--", "-d=true")).toMatchObject({ positionals: ["-d=true"] });
  });
});

it("what goes wrong is all that is said of a store that does not answer", async () => {
  const s3 = { bucket: "images", region: "eu-central-1", regionendpoint: "http://127.0.0.1:1" };
  const env = { REGISTRY_STORAGE: JSON.stringify({ s3: { ...s3, accesskey: "a", secretkey: "b" } }) };
  const { code, stdout, stderr } = await runAny([...LADING, "garbage-collect", "--quiet"], { env });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^lading garbage-collect: S3 [^\n]*ECONNREFUSED[^\n]*\n$/);
});

describe("where nobody reads any more", () => {
  it("users are listed to nobody, quietly", async () => {
    const file = path.join(folder, "htpasswd");
    await writeFile(file, "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n");
    expect(await run("users", "list", "--file", file)).toMatchObject({ code: 0, stdout: "ann\n" });
    const unread = await runUnread([...LADING, "users", "list", "--file", file], { env: {} });
    expect(unread).toEqual({ code: 141, stdout: "", stderr: "" });
  });

  it("the doctor goes after the present check, and leaves nothing that it pushed", async () => {
    const lading = await startLading({ folder });
    try {
      const url = `http://${lading.host}`;
      const links = async (): Promise<string[]> =>
        (await everythingIn(lading.root)).filter((name) => name.endsWith("/link"));
      const visit = { registry: url, repository: "lading/doctor", atOnce: 4, bodies: [] };
      const gone = new AbortController();
      const seen: Observation[] = [];
      const requests = await lading.during(async () => {
        const tell = (observation: Observation): void => {
          seen.push(observation);
          if (observation.check === "manifest-bytes") gone.abort();
        };
        await examine(visit, tell, gone.signal);
      });
      expect(seen.at(-1)?.check).toBe("manifest-bytes");
      expect(requests.filter(({ method, status }) => method === "PUT" && status === 201).length).toBeGreaterThan(1);
      expect(await links()).toEqual([]);

      const unread = await runUnread([...LADING, "doctor", "--quick", url], { env: {} });
      expect(unread).toEqual({ code: 141, stdout: "", stderr: "" });
      expect(await links()).toEqual([]);
    } finally {
      await lading.stop();
    }
  });

  it("a registry serves on, whatever the process has to say", async () => {
    const config = path.join(folder, "config.yml");
    await writeFile(
      config,
      JSON.stringify({
        version: 0.1,
        storage: { inmemory: {} },
        http: { addr: "127.0.0.1:0" },
        log: { level: "info" },
      }),
    );
    const warns = `data:text/javascript,process.on("SIGUSR2",()=>{process.emitWarning("w");setImmediate(()=>console.log("warned"))})`;
    const child = spawn(process.execPath, ["--import", warns, "dist/lading.js", "serve", config], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"] },
    });
    try {
      const ended = once(child, "close");
      let url = "";
      for await (const line of createInterface({ input: child.stderr })) {
        url = /on (http:\/\/[^\s"]+)/.exec(line)?.[1] ?? "";
        if (url !== "") break;
      }
      child.stderr.destroy();
      const warned = once(child.stdout, "data");
      child.kill("SIGUSR2");
      expect(String(await Promise.race([warned, ended]))).toBe("warned\n");
      for (let times = 0; times < 2; times++) expect((await fetch(new URL("/v2/", url))).status).toBe(200);
      child.kill("SIGTERM");
      expect(await ended).toEqual([0, null]);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
