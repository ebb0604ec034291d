/**
 * All that there is to test, in one go: `npm test`.
 *
 *     npm test                    what this machine can run; what it cannot is listed at the end, with the reason
 *     npm test -- --all           every client on every host, driver and sign-in, instead of a pairwise selection
 *     npm test -- --require       a missing program is a failure: for CI
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { relative } from "node:path";
import { missingTools, nodeTool, PROGRAMS, S3_SERVERS, type ToolName } from "./support/tools.ts";

interface Suite {
  readonly name: string;
  /** Programs that it cannot do without. */
  readonly needs: readonly ToolName[];
  /** Why CI goes on without them: they cannot be had. Whoever has them runs the suite all the same. */
  readonly excused?: string;
  readonly command: () => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where the suite leaves its figures, in vitest's JSON. */
  readonly report?: string;
}

const REPORTS = "reports";
const all = process.argv.includes("--all");
const strict = process.argv.includes("--require");

/** Those that drive the app and no server; see test/support/app.ts. */
const EVENT_SUITES = [
  "content",
  "listings",
  "refusals",
  "operations",
  "sessions",
  "layout",
  "crashes",
  "signin",
  "redirects",
  "immutable-tags",
  "tag-names",
].map((name) => `test/http/${name}.test.ts`);

/** Those that take their stores from test/support/stores.ts, and are not about one of them. */
const STORE_SUITES = [
  ...["content", "listings", "refusals", "sessions", "crashes", "immutable-tags", "tag-names"].map(
    (name) => `test/http/${name}.test.ts`,
  ),
  "test/conformance/spec.test.ts",
  "test/property/ordered-names.test.ts",
];

/** It takes its stores from there too, and asks no server. */
const VERIFY = "test/verify/verify.test.ts";

/** The same over sockets; bodies that break off there are the matter of test/http/server.test.ts. */
const UPLOAD_FUNCTION_SUITES = [
  "test/conformance/spec.test.ts",
  ...["content", "listings", "redirects"].map((name) => `test/http/${name}.test.ts`),
];

const SUITES: readonly Suite[] = [
  vitest("core", "vitest.config.ts", []),
  {
    ...vitest("core on Node 24", "vitest.config.ts", ["test/unit", "test/http"], nodeTool),
    needs: ["node-24"],
  },
  vitest("stack", "vitest.infra.config.ts", []),
  { ...vitest("S3", "vitest.s3.config.ts", []), needs: [...S3_SERVERS, "registry-3"] },
  {
    ...vitest("core through Lambda events", "vitest.config.ts", EVENT_SUITES),
    env: { LADING_TEST_HOST: "event" },
  },
  {
    ...vitest("core on versitygw", "vitest.config.ts", [...STORE_SUITES, VERIFY]),
    needs: ["versitygw"],
    env: { LADING_TEST_STORES: "versitygw" },
  },
  {
    ...vitest("core on versitygw with a bucket for uploads", "vitest.config.ts", STORE_SUITES),
    needs: ["versitygw"],
    env: { LADING_TEST_STORES: "versitygw-uploads" },
  },
  {
    ...vitest("core on Ceph RGW", "vitest.config.ts", [...STORE_SUITES, VERIFY]),
    needs: ["radosgw"],
    env: { LADING_TEST_STORES: "radosgw" },
  },
  {
    ...vitest("core on versitygw through Lambda events", "vitest.config.ts", STORE_SUITES),
    needs: ["versitygw"],
    env: { LADING_TEST_STORES: "versitygw", LADING_TEST_HOST: "event" },
  },
  {
    ...vitest("core on versitygw through the upload function", "vitest.config.ts", UPLOAD_FUNCTION_SUITES),
    needs: ["versitygw"],
    env: { LADING_TEST_STORES: "versitygw", LADING_TEST_HOST: "uploads" },
  },
  {
    ...vitest("conformance through the stack", "vitest.s3.config.ts", ["test/conformance"]),
    needs: ["versitygw"],
    env: { LADING_TEST_HOST: "stack" },
  },
  {
    ...vitest("soak", "vitest.soak.config.ts", []),
    needs: ["versitygw"],
    env: { LADING_SOAK_SECONDS: process.env["LADING_SOAK_SECONDS"] ?? (strict ? "600" : "60") },
  },
  { ...vitest("clients and drop-in", "vitest.clients.config.ts", []), needs: [...PROGRAMS, "versitygw"] },
  {
    name: "official conformance",
    needs: ["conformance-main", "conformance-v1.1.1"],
    excused:
      "the module proxy refuses both suites; test/conformance/spec.test.ts walks the same list in the core suite",
    command: () => ["bash", "test/conformance/official.sh"],
  },
];

function vitest(
  name: string,
  config: string,
  folders: readonly string[],
  node = (): string => process.execPath,
): Suite {
  const report = `${REPORTS}/${name.replaceAll(" ", "-")}.json`;
  const arguments_ = [
    "run",
    "--config",
    config,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ];
  return {
    name,
    needs: [],
    report,
    command: () => [node(), "node_modules/vitest/vitest.mjs", ...arguments_, ...folders],
  };
}

mkdirSync(REPORTS, { recursive: true });
const totals = { passed: 0, failed: 0, skipped: 0 };
const notRun: string[] = [];
const skippedTests: string[] = [];
/** Told again at the end, where a long log is read first. */
const failures: string[] = [];
let failed = false;

for (const suite of SUITES) {
  const missing = missingTools(suite.needs);
  if (missing.length > 0) {
    const fatal = strict && suite.excused === undefined;
    failed ||= fatal;
    const reason = suite.excused ?? "test/tools/install.sh installs them";
    notRun.push(`${suite.name}: missing ${missing.join(", ")} (${reason})${fatal ? " — REQUIRED HERE" : ""}`);
    continue;
  }
  process.stdout.write(`\n=== ${suite.name}\n`);
  if (suite.report !== undefined) rmSync(suite.report, { force: true });
  const [program = "", ...rest] = suite.command();
  const { status } = spawnSync(program, rest, {
    stdio: "inherit",
    env: {
      ...process.env,
      ...suite.env,
      LADING_SELECTION: all ? "all" : (process.env["LADING_SELECTION"] ?? "pairwise"),
    },
  });
  if (status !== 0) failed = true;
  if (suite.report !== undefined) count(suite.report);
}

/** Adds a suite's figures to the totals. A report that is missing is a failure: the suite died. */
function count(report: string): void {
  interface Report {
    numPassedTests: number;
    numFailedTests: number;
    numPendingTests: number;
    testResults: {
      name: string;
      status: string;
      message: string;
      assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
    }[];
  }
  try {
    const figures = JSON.parse(readFileSync(report, "utf8")) as Report;
    totals.passed += figures.numPassedTests;
    totals.failed += figures.numFailedTests;
    totals.skipped += figures.numPendingTests;
    for (const { name, status: fileStatus, message, assertionResults } of figures.testResults) {
      const file = relative(process.cwd(), name);
      if (fileStatus === "failed" && message !== "") failures.push(`${file}\n${message}`);
      for (const { status, fullName, failureMessages } of assertionResults) {
        if (status === "failed") failures.push(`${file}: ${fullName}\n${failureMessages.join("\n")}`);
        else if (status !== "passed") skippedTests.push(fullName);
      }
    }
  } catch {
    failed = true;
    process.stdout.write(`${report} is missing: the suite did not end\n`);
  }
}

if (skippedTests.length > 0) process.stdout.write(`\nSkipped:\n${skippedTests.map((name) => `  ${name}\n`).join("")}`);
if (notRun.length > 0) process.stdout.write(`\nNot run here:\n${notRun.map((line) => `  ${line}\n`).join("")}`);
if (strict && skippedTests.length > 0) failed = true;
if (failures.length > 0) process.stdout.write(`\nFailed:\n${failures.map((text) => `- ${text}\n`).join("")}`);
process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`);
process.exitCode = failed || totals.passed === 0 ? 1 : 0;
