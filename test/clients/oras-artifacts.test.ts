/** What oras is used for besides images: files as artifacts, and artifacts attached to others. */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { describeCells } from "./cell.ts";
import { prepareOras } from "./oras.ts";

describeCells({ name: "oras", family: "put" }, (place) => {
  let oras: (...args: string[]) => Promise<string>;
  let artifact: string;

  beforeAll(async () => {
    const { exec, trust } = await prepareOras(place.server, place.home);
    oras = async (command, ...args) => await exec([command, ...trust, ...args], place.folder);
    artifact = `${place.server.host}/files/data:v1`;
    await writeFile(path.join(place.folder, "data.bin"), randomBytes(70_000));
    await writeFile(path.join(place.folder, "notes.txt"), randomBytes(20).toString("hex"));
  });

  const pulled = async (reference: string, file: string): Promise<void> => {
    const to = path.join(place.folder, "pulled");
    await mkdir(to, { recursive: true });
    await oras("pull", "--no-tty", reference, "-o", to);
    const [there, back] = await Promise.all([place.folder, to].map((folder) => readFile(path.join(folder, file))));
    expect(back?.equals(there ?? Buffer.of())).toBe(true);
  };

  test("pushes a file and pulls it back", async () => {
    await oras("push", "--no-tty", artifact, "--artifact-type", "application/x.data", "data.bin:application/x.bytes");
    await pulled(artifact, "data.bin");
  });

  test("attaches a file to the artifact, and finds it by the artifact's digest", async () => {
    const { api, host } = place.server;
    await oras("attach", "--no-tty", "--artifact-type", "application/x.notes", artifact, "notes.txt");
    const { referrers } = JSON.parse(await oras("discover", "--format", "json", artifact)) as {
      referrers: { digest: string; artifactType: string }[];
    };
    expect(referrers.map(({ artifactType }) => artifactType)).toEqual(["application/x.notes"]);
    await pulled(`${host}/files/data@${referrers[0]?.digest ?? ""}`, "notes.txt");
    // By the referrers API: no tag stands in for it.
    expect(await api.tags("files/data")).toEqual(["v1"]);
  });

  test("filters by type", async () => {
    await oras("attach", "--no-tty", "--artifact-type", "application/x.other", artifact, "notes.txt");
    const { referrers } = JSON.parse(
      await oras("discover", "--format", "json", "--artifact-type", "application/x.other", artifact),
    ) as { referrers: { artifactType: string }[] };
    expect(referrers.map(({ artifactType }) => artifactType)).toEqual(["application/x.other"]);
  });

  test("copies the artifact with all that is attached to it", async () => {
    const side = (name: string): string[] =>
      place.server.plainHttp ? [`--${name}-plain-http`] : [`--${name}-ca-file`, place.server.caFile ?? ""];
    const { exec } = await prepareOras(place.server, place.home);
    const to = `${place.server.host}/files/copy:v1`;
    await exec(["cp", "--no-tty", "-r", ...side("from"), ...side("to"), artifact, to]);
    const { referrers } = JSON.parse(await oras("discover", "--format", "json", to)) as { referrers: unknown[] };
    expect(referrers).toHaveLength(2);
  });
});
