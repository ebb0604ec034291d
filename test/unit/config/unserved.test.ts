/** Sections of distribution's that nothing reads. */
import { accepts, at, file, ignores, refuses } from "../../support/config.ts";

ignores([
  ["notifications.events.includereferences", true, "notifications.events", "no notifications are sent"],
  ["redis", { addr: "localhost:6379", pool: { maxidle: 16 } }, "redis", "only hold a cache"],
  ["redis", { addrs: ["localhost:6379"] }, "redis", "only hold a cache"],
  ["reporting.bugsnag.apikey", "s", "reporting", "Bugsnag"],
  ["compatibility.schema1.enabled", true, "compatibility.schema1", "schema 1"],
]);

accepts([
  ["redis", { tls: { enabled: false } }],
  ["notifications.endpoints", []],
  ["notifications.endpoints", [{ name: "a", url: "http://x", disabled: true }]],
  ["middleware", { storage: [{ name: "redirect", disabled: true }], registry: null }],
  ["proxy.remoteurl", ""],
  ["policy.repository.classes", []],
  ["compatibility.schema1.enabled", false],
]);

refuses([
  [
    file(at("middleware.storage", [{ name: "cloudfront" }])),
    {},
    "middleware: middleware of distribution cannot be loaded here",
  ],
  [
    file(at("notifications.endpoints", [{ name: "a", url: "http://x" }])),
    {},
    "notifications.endpoints: notifications cannot be sent yet",
  ],
  [
    file({ proxy: { remoteurl: "https://x", password: "hush" } }),
    {},
    "proxy: a cache of another registry cannot be served yet",
  ],
  [
    file(at("policy.repository.classes", ["image"])),
    {},
    "policy.repository.classes: classes of repositories are not enforced here",
  ],
]);
