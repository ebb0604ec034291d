/** Cuts between which repositories are listed side by side. */
import { expect, it } from "vitest";
import { Deadline } from "../../shared/gc/deadline.ts";
import { Marking } from "../../shared/gc/marking.ts";
import { ReferenceMemory } from "../../shared/gc/reference-memory.ts";
import { listingCuts, RepositoryTable } from "../../shared/gc/repository-table.ts";
import { deleteUntagged } from "../../shared/gc/retention.ts";
import { TIMES, World } from "./support.ts";

it("are in the order of keys, in which a-b/ comes before a/", () => {
  const table = new RepositoryTable();
  table.few.keys = 30_000;
  for (const name of ["team-x", "team", "zoo"]) {
    table.names.push(name);
    for (let row = 0; row < 100; row++) table.links.push(row);
    table.linkEnds.push(table.links.length);
  }
  expect(listingCuts([table])).toEqual(["team-x", "team"]);
});

it("are kept by each run in whichever order they are remembered: nothing is listed twice", async () => {
  const world = new World();
  const names = ["team", "team-x", "team/y", "zoo"];
  for (const name of names) await world.image(name, [`layer of ${name}`], { tag: "v1" });
  const memory = new ReferenceMemory(world.driver, () => "segment");
  const options = { begun: new Date(world.time), times: TIMES, retention: deleteUntagged, force: false };
  for (const cuts of [[], ["team-x", "team"], ["team", "team-x"], ["team", "team-x", "team/y", "zoo"]]) {
    const marking = new Marking(world.driver, memory, { ...options, cuts });
    await marking.advance(new Deadline(Infinity, () => 0));
    const listed = marking.repositories.flatMap((table) =>
      Array.from({ length: table.names.length }, (_, i) => table.names.at(i)),
    );
    expect(listed.sort(), cuts.join()).toEqual(names);
  }
});
