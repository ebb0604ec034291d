import type * as z from "zod";
import type { AuthConfig } from "./config.ts";
import { readParameter } from "./parameters.ts";
import type { Report } from "./report.ts";
import { anything, choice, map, named, refused, setting, text } from "./values.ts";

/** Never empty: a section that names nothing would leave the registry open to everybody. */
export const auth = map(
  {
    htpasswd: named(
      map({
        realm: text("the realm to name to a client"),
        path: text("the path of an htpasswd file"),
      }),
    ),
    none: anything(),
    // Ours.
    anonymous: setting(choice("pull", "none")),
    token: refused("tokens of a token server cannot be checked yet; use htpasswd"),
    silly: refused("silly lets in whoever sends any Authorization header; use htpasswd, or none and say so"),
  },
  "htpasswd with its realm and path, or none for a registry open to everybody",
).optional();

export function readAuth(input: z.infer<typeof auth>, report: Report): AuthConfig {
  if (input === undefined) return { kind: "none" };
  const { anonymous } = input;
  const chosen = Object.keys(input).filter((key) => key !== "anonymous");
  if (chosen.length !== 1) {
    report.problem(
      ["auth"],
      chosen.length === 0
        ? "names nothing; give htpasswd its realm and path, or write none for a registry open to everybody"
        : `expected one of htpasswd and none, got ${chosen.join(" and ")}`,
    );
  }
  if (!input.htpasswd) {
    if (anonymous === "pull") report.noEffect(["auth", "anonymous"], "nobody is asked to sign in");
    return { kind: "none" };
  }
  const { realm, path } = input.htpasswd;
  const users = readParameter(path, ["auth", "htpasswd", "path"], report) ?? { kind: "file", path };
  return { kind: "htpasswd", realm, anonymousPull: anonymous === "pull", users };
}
