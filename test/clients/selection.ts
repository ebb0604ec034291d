/** Which combinations of client, host, sign-in and driver a run tries. */

export type UploadFamily = "patch" | "put";
export type SignIn = "none" | "htpasswd";

/** One row of the table of clients. */
export interface Row {
  readonly name: string;
  readonly family: UploadFamily;
  /** It refuses to send a body to another host than the registry's. */
  readonly staysOnHost?: boolean;
}

interface Combination {
  readonly client: string;
  readonly signIn: SignIn;
  /** With a layer of 500 MB too. */
  readonly large: boolean;
}

/** One combination to try. `cloud` is both functions behind their gateways, over a bucket. */
export type Cell = Combination &
  (
    | { readonly host: "http" | "https"; readonly driver: "filesystem" | "inmemory" }
    | { readonly host: "cloud"; readonly driver: "s3" }
  );

/**
 * `pairwise`: each client on each host once, with sign-in and driver alternating, so that with two clients or more every
 * pair of two values of different columns comes up; the large layer once for each upload family in a folder, with the
 * family's first client, and once through the cloud, with its first that sends bodies to another host. `all`: the whole
 * product, and the large layer in a folder and through the cloud with each client.
 */
export type Selection = "pairwise" | "all";

const SERVERS = ["http", "https"] as const;
const SIGN_INS = ["none", "htpasswd"] as const;
const DRIVERS = ["filesystem", "inmemory"] as const;

export function select(clients: readonly Row[], selection: Selection): Cell[] {
  const isFirst = (row: Row, among: readonly Row[]): boolean =>
    among.find(({ family }) => family === row.family) === row;
  const following = clients.filter(({ staysOnHost }) => staysOnHost !== true);
  return clients.flatMap((row, i) => {
    const isLarge = { folder: isFirst(row, clients), cloud: isFirst(row, following) };
    if (selection === "all") isLarge.folder = isLarge.cloud = true;
    // On the second host both are the other way round: so each client meets both values of each.
    const flip = i % 2;
    const own = SERVERS.flatMap((host, h) =>
      selection === "all"
        ? SIGN_INS.flatMap((signIn) => DRIVERS.map((driver) => ({ host, signIn, driver })))
        : [{ host, signIn: SIGN_INS[(flip + h) % 2 ? 1 : 0], driver: DRIVERS[(i >> 1) % 2 === h ? 0 : 1] }],
    );
    const cloud = (selection === "all" ? SIGN_INS : [SIGN_INS[(i >> 1) % 2 ? 1 : 0]]).map((signIn) => ({
      host: "cloud" as const,
      signIn,
      driver: "s3" as const,
    }));
    const folder = own.findIndex(({ driver }) => driver === "filesystem");
    return [
      ...own.map((cell, c) => ({ client: row.name, ...cell, large: isLarge.folder && c === folder })),
      ...cloud.map((cell, c) => ({ client: row.name, ...cell, large: isLarge.cloud && c === 0 })),
    ];
  });
}

/** The selection that the environment asks for. */
export function selectionFrom(env: Readonly<Record<string, string | undefined>>): Selection {
  const wanted = env["LADING_SELECTION"] ?? "pairwise";
  if (wanted === "pairwise" || wanted === "all") return wanted;
  throw new Error(`LADING_SELECTION is pairwise or all, not ${wanted}`);
}
