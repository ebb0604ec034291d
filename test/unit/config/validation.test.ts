/** `validation`. */
import { at, file, honours, ignores, refuses } from "../../support/config.ts";

honours([
  ["validation.manifests.sparse", true, (c) => c.validation.allowSparseManifests, true],
  ["validation.manifests.indexes.platforms", "None", (c) => c.validation.allowSparseIndexes, true],
  ["validation.manifests.indexes.platforms", "all", (c) => c.validation.allowSparseIndexes, false],
  ["validation.disabled", true, (c) => c.validation.urls.checked, false],
  ["validation.disabled", true, (c) => c.validation.allowSparseIndexes, true],
  ["validation", { disabled: true, enabled: true }, (c) => c.validation.urls.checked, true],
  [
    "validation.manifests.urls",
    { allow: [String.raw`^https?://([^/]+\.)*example\.com/`], deny: ["x"] },
    (c) => c.validation.urls,
    { checked: true, allow: [String.raw`^https?://([^/]+\.)*example\.com/`], deny: ["x"] },
  ],
]);

ignores([
  [
    "validation.manifests.indexes.platformlist",
    [{ architecture: "amd64", os: "linux" }],
    "validation.manifests.indexes.platformlist",
    "platforms: list",
  ],
]);

refuses([
  [
    file(at("validation.manifests.urls.deny", ["("])),
    {},
    'validation.manifests.urls.deny.0: "(" is not a regular expression',
  ],
  [file(at("validation.manifests.urls.deny", ["[[:alpha:]]"])), {}, "is not a regular expression"],
  [file(at("validation.manifests.urls.deny", [String.raw`bad\z`])), {}, "is not a regular expression"],
  [
    file(at("validation.manifests.indexes.platforms", "list")),
    {},
    "validation.manifests.indexes.platforms: list cannot be used yet",
  ],
]);
