/** All clients, and the combinations of this run. The first of each upload family is the one that moves the large layer. */
import { select, selectionFrom, type Cell, type Row } from "./selection.ts";

const TABLE: readonly Row[] = [
  { name: "skopeo", family: "patch" },
  { name: "oras", family: "put", staysOnHost: true },
  { name: "crane", family: "patch" },
  { name: "regctl", family: "put" },
  { name: "podman", family: "patch" },
  { name: "ctr", family: "put" },
  { name: "buildah", family: "patch" },
  { name: "ctr-2", family: "put" },
  { name: "docker", family: "patch" },
  { name: "docker-29", family: "put" },
  { name: "cosign", family: "patch" },
  { name: "helm", family: "put", staysOnHost: true },
];

const CELLS = select(TABLE, selectionFrom(process.env));

/** The combinations that a client is tried in. */
export function cellsOf({ name, family }: Row): Cell[] {
  const row = TABLE.find((client) => client.name === name);
  if (row?.family !== family) throw new Error(`${name}, which sends with ${family}, is not in the table`);
  return CELLS.filter((cell) => cell.client === name);
}
