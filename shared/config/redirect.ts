import { isIP } from "node:net";
import type * as z from "zod";
import type { Network, RedirectConfig } from "./config.ts";
import type { Report } from "./report.ts";
import { flag, patternFault, section, setting, texts } from "./values.ts";

const networks = () => setting(texts("a list of networks, such as [10.0.0.0/8, fd00::/8]"));

/** `storage.redirect`: distribution's `disable`, and keys of our own. */
export const redirect = section({
  disable: setting(flag()),
  head: setting(flag()),
  except: section({ networks: networks(), clients: setting(texts("a list of regular expressions")) }),
  trustedproxies: networks(),
});

/** What `storage.redirect` asks for. `because` it can have no effect, where the driver is one that redirects nobody. */
export function readRedirect(
  input: z.infer<typeof redirect>,
  because: string | undefined,
  report: Report,
): RedirectConfig {
  const path = ["storage", "redirect"];
  const { disable, head, except, trustedproxies } = input ?? {};
  const clients = except?.clients ?? [];
  for (const [index, source] of clients.entries()) {
    const fault = patternFault(source);
    if (fault) report.problem([...path, "except", "clients", index], `${JSON.stringify(source)} ${fault}`);
  }
  const config = {
    disabled: disable ?? false,
    ...(typeof head === "boolean" ? { head } : {}),
    except: { networks: readNetworks(except?.networks, [...path, "except", "networks"], report), clients },
    trustedProxies: readNetworks(trustedproxies, [...path, "trustedproxies"], report),
  };
  if (because !== undefined) {
    if (input) report.noEffect(path, because);
  } else if (config.disabled) {
    const others = Object.entries({ head, except, trustedproxies }).filter(([, value]) => value);
    for (const [key] of others) report.noEffect([...path, key], "storage.redirect.disable turns all redirects off");
  } else if (trustedproxies && config.except.networks.length === 0) {
    report.noEffect([...path, "trustedproxies"], "storage.redirect.except.networks is not set");
  }
  return config;
}

function readNetworks(input: readonly string[] | null | undefined, path: readonly string[], report: Report): Network[] {
  return (input ?? []).flatMap((text, index) => {
    const network = networkOf(text);
    if (network === undefined)
      report.wrongValue([...path, index], "a network or an address, such as 10.0.0.0/8, fd00::/8 or 192.0.2.1", text);
    return network ?? [];
  });
}

/** An address alone is the network of that one. */
function networkOf(text: string): Network | undefined {
  const [, address = "", digits] = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  const bits = version === 4 ? 32 : 128;
  const prefix = Number(digits ?? bits);
  return version === 0 || prefix > bits ? undefined : { address, prefix, family: version === 4 ? "ipv4" : "ipv6" };
}
