/** Keys that are not known, and sections of one key. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { allKeys } from "../../../shared/config/keys.ts";
import { dotted } from "../../../shared/config/report.ts";
import { schema } from "../../../shared/config/schema.ts";
import { at, file, honours, refuses } from "../../support/config.ts";

honours([
  ["catalog.maxentries", 5, (c) => c.catalog.maxEntries, 5],
  ["catalog.maxentries", -1, (c) => c.catalog.maxEntries, 1000],
  ["tags.maxtags", 5, (c) => c.tags.maxEntries, 5],
]);

refuses([
  [file({ lgo: {} }), {}, "lgo: is not a key of the configuration; did you mean log?"],
  [file({ zzzzzz: 1 }), {}, "zzzzzz: is not a key of the configuration"],
  [file({ delete: { enabled: true } }), {}, "delete: is not a key of the configuration; did you mean storage.delete?"],
  [
    file(at("http.tls.certificat", "/c")),
    {},
    "http.tls.certificat: is not a key of the configuration; did you mean http.tls.certificate?",
  ],
  [
    file(at("auth.htpaswd.path", "/c")),
    {},
    "auth.htpaswd: is not a key of the configuration; did you mean auth.htpasswd?",
  ],
  [
    file(at("storage.filesytem", {})),
    {},
    "storage.filesytem: is not a key of the configuration; did you mean storage.filesystem?",
  ],
  [file(at("http.Addr", ":1")), {}, "http.Addr: is not a key of the configuration; did you mean http.addr?"],
  [file(at("catalog.maxentries", 1.5)), {}, "catalog.maxentries: expected a whole number, got 1.5"],
]);

test("docs/configuration.md names every key", () => {
  const words = new Set(readFileSync("docs/configuration.md", "utf8").match(/[a-z0-9][a-z0-9.]*/g));
  const missing = [...allKeys(schema)].filter((path) => {
    if (path.includes("*")) return !words.has(String(path.at(-1)).replace("*", "list"));
    // A section is named by the keys in it.
    return ![...words].some((word) => word === dotted(path) || word.startsWith(`${dotted(path)}.`));
  });
  expect(missing.map(dotted)).toEqual([]);
});
