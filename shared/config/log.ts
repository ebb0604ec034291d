import * as z from "zod";
import type { LogConfig } from "./config.ts";
import type { Report } from "./report.ts";
import { anything, byName, choice, flag, isMap, noEffect, section, setting } from "./values.ts";

const field = z.union([z.string(), z.number(), z.boolean()], { error: "a text, a number, true or false" });

export const logLevel = setting(choice("error", "warn", "info", "debug"));

export const log = section({
  level: logLevel,
  formatter: setting(choice("text", "json", "logstash")),
  fields: byName(field).nullish(),
  accesslog: section({ disabled: setting(flag()) }),
  hooks: noEffect(
    anything(),
    "no mail is sent of what is logged; have what collects the log raise the alarm",
    (hooks) => !Array.isArray(hooks) || hooks.every((hook) => isMap(hook) && hook["disabled"] === true),
  ),
  reportcaller: noEffect(setting(flag()), "a line of the log names what happened, not the line of code"),
});

export function readLog(input: z.infer<typeof log>, oldLevel: z.infer<typeof logLevel>, report: Report): LogConfig {
  if (oldLevel && input?.level && oldLevel !== input.level) report.noEffect(["loglevel"], "log.level is set");
  const formatter = input?.formatter ?? "text";
  if (formatter === "logstash") {
    report.notice(["log", "formatter"], "logstash is written as json, without @timestamp and @version");
  }
  return {
    level: input?.level ?? oldLevel ?? "info",
    formatter: formatter === "logstash" ? "json" : formatter,
    fields: Object.fromEntries(Object.entries(input?.fields ?? {}).map(([name, value]) => [name, String(value)])),
    accessLog: !(input?.accesslog?.disabled ?? false),
  };
}
