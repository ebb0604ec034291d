/** Which combinations of client, host, sign-in and driver a run tries. */

export type UploadFamily = "patch" | "put";
export type Host = "http" | "https";
export type SignIn = "none" | "htpasswd";
export type Driver = "filesystem" | "inmemory";

/** One combination to try. */
export interface Cell {
  readonly client: string;
  readonly host: Host;
  readonly signIn: SignIn;
  readonly driver: Driver;
  /** With a layer of 500 MB too. */
  readonly large: boolean;
}

/**
 * `pairwise`: each client on each host once, with sign-in and driver alternating, so that with two clients or more every
 * pair of two values of different columns comes up; the large layer once for each upload family, with the family's first
 * client. `all`: the whole product, and the large layer once with each client.
 */
export type Selection = "pairwise" | "all";

const HOSTS = ["http", "https"] as const;
const SIGN_INS = ["none", "htpasswd"] as const;
const DRIVERS = ["filesystem", "inmemory"] as const;

export function select(
  clients: readonly { readonly name: string; readonly family: UploadFamily }[],
  selection: Selection,
): Cell[] {
  const firstOfFamily = new Set(
    ["patch", "put"].map((wanted) => clients.find(({ family }) => family === wanted)?.name),
  );
  return clients.flatMap(({ name: client }, i) => {
    // On the second host both are the other way round: so each client meets both values of each.
    const flip = i % 2;
    const cells = HOSTS.flatMap((host, h) =>
      selection === "all"
        ? SIGN_INS.flatMap((signIn) => DRIVERS.map((driver) => ({ client, host, signIn, driver })))
        : [{ client, host, signIn: SIGN_INS[(flip + h) % 2 ? 1 : 0], driver: DRIVERS[(i >> 1) % 2 === h ? 0 : 1] }],
    );
    const largeClient = selection === "all" || firstOfFamily.has(client);
    const large = cells.findIndex(({ driver }) => driver === "filesystem");
    return cells.map((cell, c) => ({ ...cell, large: largeClient && c === large }));
  });
}

/** The selection that the environment asks for. */
export function selectionFrom(env: Readonly<Record<string, string | undefined>>): Selection {
  const wanted = env["LADING_SELECTION"] ?? "pairwise";
  if (wanted === "pairwise" || wanted === "all") return wanted;
  throw new Error(`LADING_SELECTION is pairwise or all, not ${wanted}`);
}
