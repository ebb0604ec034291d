/** One combination of client, host, sign-in and driver, with a server of its own. */
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { startCloudLading } from "../cloud/lading.ts";
import { startLading, type Lading } from "../support/lading.ts";
import { scratchFolder } from "../support/scratch.ts";
import type { Cell, Row } from "./selection.ts";
import { cellsOf } from "./table.ts";

/** Filled before the first test. */
export interface Place {
  server: Lading;
  /** For the test's own files. */
  folder: string;
  /** For the client's. */
  home: string;
}

/** Describes the same for each combination that the client is tried in. */
export function describeCells(client: Row, body: (place: Readonly<Place>, cell: Cell) => void): void {
  describe.each(cellsOf(client).map((cell) => ({ ...cell, title: titleOf(cell) })))("$title", (cell) => {
    const place: Partial<Place> = {};

    beforeAll(async () => {
      const folder = (place.folder = await scratchFolder(client.name));
      place.home = path.join(folder, "client");
      await mkdir(place.home);
      const own = path.join(folder, "server");
      await mkdir(own);
      place.server = await (cell.host === "cloud"
        ? startCloudLading({ folder: own, signIn: cell.signIn })
        : startLading({ ...cell, folder: own }));
    });

    afterAll(async () => {
      await place.server?.stop();
      if (place.folder !== undefined) await rm(place.folder, { recursive: true, force: true });
    });

    body(place as Place, cell);
  });
}

function titleOf({ client, host, signIn, driver }: Cell): string {
  return `${client}, ${host}, ${signIn === "none" ? "no sign-in" : signIn}, ${driver}`;
}
