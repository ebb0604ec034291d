/** `storage.redirect`. */
import { describe, expect, test } from "vitest";
import type { RedirectConfig } from "../../../shared/config/config.ts";
import { readRedirect, redirect } from "../../../shared/config/redirect.ts";
import { Report } from "../../../shared/config/report.ts";
import { file, load, problemsOf, type Env } from "../../support/config.ts";

const redirectOf = (keys: Record<string, unknown>, env: Env = {}): RedirectConfig =>
  load({ storage: { inmemory: {}, redirect: keys } }, env).config.storage.redirect;

const nobody = { disabled: false, except: { networks: [], clients: [] }, trustedProxies: [] };
const ten = { address: "10.0.0.0", prefix: 8, family: "ipv4" };

test.each<[keys: Record<string, unknown>, expected: object]>([
  [{}, nobody],
  [{ disable: false }, nobody],
  [{ disable: true }, { ...nobody, disabled: true }],
  [{ head: true }, { ...nobody, head: true }],
  [{ except: {} }, nobody],
  [{ except: { networks: "10.0.0.0/8" } }, { ...nobody, except: { networks: [ten], clients: [] } }],
  [
    {
      except: { networks: ["10.0.0.0/8", "fd00::/8", "192.0.2.1", "::1", "0.0.0.0/0"], clients: ["^crane", "regctl"] },
    },
    {
      ...nobody,
      except: {
        networks: [
          ten,
          { address: "fd00::", prefix: 8, family: "ipv6" },
          { address: "192.0.2.1", prefix: 32, family: "ipv4" },
          { address: "::1", prefix: 128, family: "ipv6" },
          { address: "0.0.0.0", prefix: 0, family: "ipv4" },
        ],
        clients: ["^crane", "regctl"],
      },
    },
  ],
  [
    { except: { networks: ["10.0.0.0/8"] }, trustedproxies: ["::ffff:127.0.0.0/104"] },
    {
      ...nobody,
      except: { networks: [ten], clients: [] },
      trustedProxies: [{ address: "::ffff:127.0.0.0", prefix: 104, family: "ipv6" }],
    },
  ],
])("%j", (keys, expected) => {
  expect(redirectOf(keys)).toEqual(expected);
});

test("by variables", () => {
  expect(
    redirectOf(
      {},
      {
        REGISTRY_STORAGE_REDIRECT_DISABLE: "false",
        REGISTRY_STORAGE_REDIRECT_HEAD: "true",
        REGISTRY_STORAGE_REDIRECT_EXCEPT_NETWORKS: "[10.0.0.0/8]",
        REGISTRY_STORAGE_REDIRECT_EXCEPT_CLIENTS: "['^a/']",
        REGISTRY_STORAGE_REDIRECT_TRUSTEDPROXIES: "[10.0.0.0/8]",
      },
    ),
  ).toEqual({ disabled: false, head: true, except: { networks: [ten], clients: ["^a/"] }, trustedProxies: [ten] });
});

const network = "expected a network or an address, such as 10.0.0.0/8, fd00::/8 or 192.0.2.1, got";
test.each<[keys: Record<string, unknown>, problem: string]>([
  [{ except: { networks: ["10.0.0.0/8", "10.0.0.0/33"] } }, `networks.1: ${network} "10.0.0.0/33"`],
  ...["::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "example.com", "fe80::1%eth0", "/8", "010.0.0.1"].map(
    (wrong): [Record<string, unknown>, string] => [
      { except: { networks: [wrong] } },
      `networks.0: ${network} "${wrong}"`,
    ],
  ),
  [{ except: { networks: [8] } }, "storage.redirect.except.networks: expected a list of networks, such as [10.0.0.0/8"],
  [{ except: { clients: ["^a/", "["] } }, 'except.clients.1: "[" is not a regular expression that JavaScript reads'],
  [{ except: { clients: [1] } }, "storage.redirect.except.clients: expected a list of regular expressions"],
  [{ except: ["10.0.0.0/8"] }, "storage.redirect.except: expected a map of keys"],
  [
    { except: { network: "10.0.0.0/8" } },
    "is not a key of the configuration; did you mean storage.redirect.except.net",
  ],
  [{ trustedproxies: ["localhost"] }, `storage.redirect.trustedproxies.0: ${network} "localhost"`],
  [{ disable: "true" }, 'storage.redirect.disable: expected true or false, got "true"'],
  [{ head: 1 }, "storage.redirect.head: expected true or false, got 1"],
])("%j is refused", (keys, problem) => {
  expect(problemsOf(file({ storage: { inmemory: {}, redirect: keys } }))).toEqual([expect.stringContaining(problem)]);
});

describe("what has no effect is named", () => {
  const noticesOf = (keys: Record<string, unknown>, because?: string): readonly string[] => {
    const report = new Report();
    readRedirect(redirect.parse(keys), because, report);
    return report.notices;
  };

  test.each<[keys: Record<string, unknown>, key: string, because: string]>([
    [{ disable: true, head: true }, "head", "disable turns all redirects off"],
    [{ disable: true, except: { clients: ["a"] } }, "except", "disable turns all redirects off"],
    [{ disable: true, trustedproxies: ["10.0.0.1"] }, "trustedproxies", "disable turns all redirects off"],
    [{ trustedproxies: ["10.0.0.1"] }, "trustedproxies", "storage.redirect.except.networks is not set"],
  ])("%j", (keys, key, because) => {
    const notice = expect.stringMatching(
      `^storage.redirect.${key} has no effect here, because .*${because}`,
    ) as unknown;
    expect(noticesOf(keys)).toEqual([notice]);
  });

  test.each([
    {},
    { disable: true },
    { disable: true, head: false },
    { head: true, except: { clients: ["a"] } },
    { except: { networks: ["::1"] }, trustedproxies: ["::1"] },
  ])("and nothing else: %j", (keys) => {
    expect(noticesOf(keys)).toEqual([]);
  });

  test("once, where the driver redirects nobody", () => {
    expect(noticesOf({ disable: true, head: true }, "of the driver")).toEqual([
      "storage.redirect has no effect here, because of the driver",
    ]);
  });
});
