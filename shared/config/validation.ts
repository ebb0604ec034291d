import type * as z from "zod";
import type { ValidationConfig } from "./config.ts";
import type { Report } from "./report.ts";
import { choice, flag, listOf, map, noEffect, patternFault, section, setting, text, texts } from "./values.ts";

const patterns = () => setting(texts("a list of regular expressions"));

export const validation = section({
  enabled: setting(flag()),
  disabled: setting(flag()),
  manifests: section({
    sparse: setting(flag()),
    urls: section({ allow: patterns(), deny: patterns() }),
    indexes: section({
      platforms: setting(choice("all", "none", "list")),
      platformlist: noEffect(
        listOf(map({ architecture: setting(text("a text")), os: setting(text("a text")) })),
        "platforms: list, which would read it, is not served",
      ),
    }),
  }),
});

export function readValidation(input: z.infer<typeof validation>, report: Report): ValidationConfig {
  const path = ["validation", "manifests"];
  // As distribution has it: enabled wins over disabled, and neither means enabled.
  const checked = (input?.enabled ?? false) || !(input?.disabled ?? false);
  const { sparse, urls, indexes } = input?.manifests ?? {};
  if (indexes?.platforms === "list") {
    report.problem([...path, "indexes", "platforms"], "list cannot be used yet; use all, or none");
  }
  const compiled = (name: "allow" | "deny"): readonly string[] =>
    (urls?.[name] ?? []).filter((source, index) => {
      const fault = patternFault(source);
      if (fault) report.problem([...path, "urls", name, index], `${JSON.stringify(source)} ${fault}`);
      return !fault;
    });
  return {
    allowSparseManifests: sparse ?? false,
    allowSparseIndexes: !checked || indexes?.platforms === "none",
    urls: { checked, allow: compiled("allow"), deny: compiled("deny") },
  };
}
