/** Whose downloads are redirected to the store itself, by their address and their User-Agent. */
import { BlockList, isIP } from "node:net";
import type { Network, RedirectConfig } from "../../shared/config/config.ts";

/** What is asked of a request. */
export interface RedirectRequest {
  /** Of the host's peer; unknown where that is a socket of this machine. */
  readonly remoteAddress: string | undefined;
  header(name: string): string | undefined;
}

/** Which requests for a blob are redirected, where the store can be asked by anybody with a signed URL. */
export interface Redirects {
  /** HEAD as well: for a host that cannot tell its length. */
  readonly head: boolean;
  /** Whether this client is sent to the store. It may say what it likes: at worst its bytes take the way it asked for. */
  includes(request: RedirectRequest): boolean;
}

/** As the configuration has it. Undefined: nobody is redirected. */
export function createRedirects({
  disabled,
  head = false,
  except,
  trustedProxies,
}: RedirectConfig): Redirects | undefined {
  if (disabled) return undefined;
  const patterns = except.clients.map((source) => new RegExp(source, "iu"));
  const isExcepted = except.networks.length === 0 ? undefined : within(except.networks);
  const isTrusted = within(trustedProxies);
  return {
    head,
    includes: (request) => {
      const agent = request.header("user-agent") ?? "";
      if (patterns.some((pattern) => pattern.test(agent))) return false;
      return isExcepted?.(clientAddress(request, isTrusted)) !== true;
    },
  };
}

/**
 * The last address that no trusted proxy has: what stands before it in X-Forwarded-For may be the client's own invention.
 * Who came over a socket of this machine is a proxy.
 */
function clientAddress(request: RedirectRequest, isTrusted: (address: string) => boolean): string {
  const { remoteAddress } = request;
  if (remoteAddress !== undefined && !isTrusted(remoteAddress)) return remoteAddress;
  const forwarded = (request.header("x-forwarded-for") ?? "")
    .split(",")
    .map(withoutPort)
    .filter((address) => address !== "");
  return forwarded.findLast((address) => !isTrusted(address)) ?? forwarded[0] ?? remoteAddress ?? "";
}

/** Some proxies write the client's port too, after an IPv6 address in brackets. */
function withoutPort(text: string): string {
  const [, bracketed, plain] = /^\s*(?:\[([^\]]*)\](?::\d+)?|([^:\s]*):\d+)\s*$/.exec(text) ?? [];
  return bracketed ?? plain ?? text.trim();
}

/** Whether an address is in one of these networks. An IPv4 address may be written as IPv6. What is no address is in none. */
function within(networks: readonly Network[]): (address: string) => boolean {
  const list = new BlockList();
  for (const { address, prefix, family } of networks) list.addSubnet(address, prefix, family);
  return (text) => {
    const [address = ""] = text.split("%"); // a link's address has the name of the link behind it
    return list.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
  };
}
