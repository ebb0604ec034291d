/** `log` and `loglevel`. */
import { expect, test } from "vitest";
import { accepts, at, file, honours, ignores, load, refuses, warns } from "../../support/config.ts";

honours([
  ["log.level", "debug", (c) => c.log.level, "debug"],
  ["log.level", "WARN", (c) => c.log.level, "warn"],
  ["loglevel", "error", (c) => c.log.level, "error"],
  ["log.formatter", "json", (c) => c.log.formatter, "json"],
  ["log.fields", { a: "b", n: 1, t: true }, (c) => c.log.fields, { a: "b", n: "1", t: "true" }],
  ["log.accesslog.disabled", true, (c) => c.log.accessLog, false],
]);

ignores([
  ["log.hooks", [{ type: "mail", levels: ["panic"] }], "log.hooks", "no mail is sent"],
  ["log.reportcaller", true, "log.reportcaller", "not the line of code"],
]);

accepts([["log.hooks", [{ type: "mail", disabled: true }]]]);

warns([["log.formatter", "logstash", "log.formatter: logstash is written as json"]]);

refuses([
  [file(at("log.level", "loud")), {}, 'log.level: expected one of error, warn, info, debug, got "loud"'],
  [file(at("log", "loud")), {}, 'log: expected a map of keys, got "loud"'],
  [file(at("log.fields.a", {})), {}, "log.fields.a: expected a text, a number, true or false, got a map of keys"],
]);

test("log.level wins over loglevel", () => {
  const { config, notices } = load({ loglevel: "debug", log: { level: "warn" } });
  expect(config.log.level).toBe("warn");
  expect(notices).toEqual(["loglevel has no effect here, because log.level is set"]);
});
