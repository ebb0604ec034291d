/** `auth`: never does it fall back to letting everybody in. */
import { at, file, honours, ignores, refuses } from "../../support/config.ts";

honours([
  [
    "auth",
    { htpasswd: { realm: "r", path: "/p" } },
    (c) => c.auth,
    { kind: "htpasswd", realm: "r", anonymousPull: false, users: { kind: "file", path: "/p" } },
  ],
  [
    "auth.htpasswd",
    { realm: "r", path: "ssm:/lading/main/htpasswd" },
    (c) => c.auth,
    {
      kind: "htpasswd",
      realm: "r",
      anonymousPull: false,
      users: { kind: "parameter", service: "ssm", name: "/lading/main/htpasswd" },
    },
  ],
  ["auth", "none", (c) => c.auth, { kind: "none" }],
  ["auth.none", null, (c) => c.auth, { kind: "none" }],
]);

for (const [anonymous, anonymousPull] of [
  ["pull", true],
  ["none", false],
  ["", false],
] as const) {
  const keys = { htpasswd: { realm: "r", path: "/p" }, anonymous };
  honours([["auth", keys, (c) => c.auth.kind === "htpasswd" && c.auth.anonymousPull, anonymousPull]]);
}

ignores([["auth", { none: null, anonymous: "pull" }, "auth.anonymous", "nobody is asked to sign in"]]);

refuses([
  [file({ auth: { anonymous: "pull" } }), {}, "auth: names nothing"],
  [undefined, { REGISTRY_AUTH_ANONYMOUS: "pull" }, "auth: names nothing"],
  [
    file({ auth: { htpasswd: { realm: "r", path: "/p" }, anonymous: "push" } }),
    {},
    "auth.anonymous: expected one of pull, none, got",
  ],
  [file({ auth: null }), {}, "auth: expected htpasswd with its realm and path, or none"],
  [file({ auth: {} }), {}, "auth: names nothing"],
  [file({ auth: "" }), {}, "auth: expected htpasswd with its realm and path, or none"],
  [
    file({ auth: { htpasswd: { realm: "r", path: "/p" } } }),
    { REGISTRY_AUTH: "" },
    "auth (REGISTRY_AUTH): expected htpasswd",
  ],
  [
    file({ auth: "htpasswd" }),
    {},
    "auth.htpasswd.path: expected the path of an htpasswd file, got nothing (REGISTRY_AUTH_HTPASSWD_PATH sets it too)",
  ],
  [file(at("auth.htpasswd", null)), {}, "auth.htpasswd.realm: expected the realm to name to a client, got nothing"],
  [file(at("auth.htpasswd.path", "/p")), {}, "auth.htpasswd.realm: expected"],
  [
    undefined,
    { REGISTRY_AUTH_HTPASSWD_PATH: "", REGISTRY_AUTH_HTPASSWD_REALM: "" },
    "auth.htpasswd.path (REGISTRY_AUTH_HTPASSWD_PATH): expected the path of an htpasswd file, got nothing",
  ],
  [
    file({ auth: { htpasswd: { realm: "r", path: "/p" }, none: null } }),
    {},
    "auth: expected one of htpasswd and none, got htpasswd and none",
  ],
  [
    file(at("auth.htpasswd", { realm: "r", path: "ssm:" })),
    {},
    "auth.htpasswd.path: expected the name or ARN of a parameter after ssm:",
  ],
  [file({ auth: { token: { realm: "hush" } } }), {}, "auth.token: tokens of a token server cannot be checked yet"],
  [file({ auth: "silly" }), {}, "auth.silly: silly lets in whoever sends any Authorization header"],
]);
