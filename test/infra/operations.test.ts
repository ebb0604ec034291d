/** docs/operations.md speaks of what there is: outputs, alarms, settings, parameters, commands. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { METRIC_DIMENSION, METRIC_NAMES } from "../../functions/gc/metrics.ts";
import { SETTING_KEYS } from "../../infra/settings.ts";
import { tableRows } from "../support/markdown.ts";
import { ofType, synth } from "./synth.ts";

const page = readFileSync("docs/operations.md", "utf8");
const standard = synth();
const named = synth({
  domainName: "registry.example.com",
  certificateArn: "arn:aws:acm:eu-central-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
});
const matches = (pattern: RegExp, text = page): string[] => [...text.matchAll(pattern)].map(([, found]) => found ?? "");
const section = (title: string): string => {
  const [, rest] = page.split(`\n## ${title}\n`);
  if (rest === undefined) throw new Error(`the page has no section ${title}`);
  return rest.split("\n## ")[0] ?? "";
};
/** What is written as code within a line. */
const code = matches(/(?<!`)`([^`\n]+)`(?!`)/g);
const alarms = Object.keys(ofType(standard, "AWS::CloudWatch::Alarm")).map((id) => id.replace(/Alarm[0-9A-F]{8}$/, ""));

describe("docs/operations.md", () => {
  it("has a section for each alarm, in the order of the stack, and for nothing else", () => {
    expect(matches(/^### (.*)$/gm, section("Alarms"))).toEqual(alarms);
  });

  it("names each output of the stack, and no other", () => {
    const told = tableRows(page.slice(0, page.indexOf("\n## ")))
      .map(([first = ""]) => first.replaceAll("`", ""))
      .slice(1);
    expect(told.sort()).toEqual(Object.keys(named.outputs).sort());
  });

  it("names settings that there are, and says of each what changing it does", () => {
    const given = [...matches(/ -c (\w+)=/g), ...matches(/"(\w+)": (?:true|\d+|"[^"]*")[,\s}]/g, section("Deploy"))];
    expect(given.length).toBeGreaterThan(8);
    expect(given.filter((key) => !SETTING_KEYS.includes(key))).toEqual([]);
    const told = tableRows(section("Upgrade")).flatMap(([first = ""]) => matches(/`(\w+)`/g, first));
    expect(told.sort()).toEqual([...SETTING_KEYS].sort());
  });

  it("writes no word as a setting, an output or an alarm that is none", () => {
    const known = [...SETTING_KEYS, ...Object.keys(named.outputs), ...alarms, "CDKToolkit", "AccessLog"];
    known.push(METRIC_DIMENSION, ...METRIC_NAMES);
    const words = code.map((text) => text.split("=")[0] ?? "").filter((text) => /^[A-Za-z]+[A-Z][A-Za-z]*$/.test(text));
    expect(words.length).toBeGreaterThan(20);
    expect(words.filter((word) => /[a-z]/.test(word) && !known.includes(word))).toEqual([]);
  });

  it("names each metric of the collector, and no other", () => {
    expect(code.filter((word) => /^Gc[A-Z]/.test(word)).sort()).toEqual([...METRIC_NAMES].sort());
  });

  it("means parameters and resources that the stack has", () => {
    const { secret, htpasswd } = { secret: "/lading/registry/secret", htpasswd: "/lading/registry/htpasswd" };
    expect([...new Set(page.match(/\/lading\/registry\/\w+/g))].sort()).toEqual([htpasswd, secret]);
    const [made] = Object.values(ofType(standard, "Custom::LadingParameters"));
    expect(made?.Properties).toMatchObject({ Secret: secret, Htpasswd: htpasswd });
    // What commands look for in the stack, there is once.
    const sought = matches(/ResourceType=='([\w:]+)'(?! &&)/g);
    expect(sought).toEqual(["AWS::SQS::Queue"]);
    for (const type of sought) expect(Object.keys(ofType(standard, type))).toHaveLength(1);
    const [[, type = "", begins = ""] = []] = [
      ...page.matchAll(/ResourceType=='([\w:]+)' && starts_with\(\w+,'(\w+)'\)/g),
    ];
    expect(Object.keys(ofType(standard, type)).filter((id) => id.startsWith(begins))).toHaveLength(1);
  });

  it("has commands of Lading's that there are, with options that they know", () => {
    const commands = [...new Set(matches(/node dist\/lading\.js ([\w-]+(?: [^\n`|]*)?)/g))];
    expect(commands.length).toBeGreaterThan(5);
    const helped = new Map<string, string>();
    for (const command of commands) {
      const [verb = "", ...rest] = command.split(" ");
      if (verb === "serve") continue;
      let help = helped.get(verb);
      if (help === undefined) {
        const { stdout, status } = spawnSync(process.execPath, ["dist/lading.js", verb, "--help"], {
          encoding: "utf8",
        });
        expect(status, command).toBe(0);
        helped.set(verb, (help = stdout));
      }
      for (const option of rest.filter((word) => word.startsWith("--"))) expect(help, command).toContain(option);
    }
    expect([...helped.keys()].sort()).toEqual(["doctor", "garbage-collect", "gc", "users"]);
  });

  it("has scripts of npm's and commands of the CDK's that there are", () => {
    const cdk = [...new Set(matches(/npx cdk (\w+)/g))].sort();
    expect(cdk).toEqual(["bootstrap", "deploy", "destroy", "diff"]);
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> };
    expect(matches(/npm (start|run \w+)/g).filter((name) => scripts[name.replace("run ", "")] === undefined)).toEqual(
      [],
    );
  });

  it("leads to sections and pages that there are", () => {
    const anchor = (title: string): string =>
      title
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, "")
        .replaceAll(" ", "-");
    const own = matches(/^#+ (.*)$/gm).map(anchor);
    expect(matches(/\]\(#([^)]+)\)/g).filter((target) => !own.includes(target))).toEqual([]);
    for (const target of matches(/\]\(([\w-]+\.md)(?:#[^)]*)?\)/g)) readFileSync(`docs/${target}`);
  });
});
