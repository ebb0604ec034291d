/**
 * The registry's process dies, or its storage fails once, at every single storage call of every operation, before or after
 * the call's effect. At no moment is anything visible that is unverified or leads nowhere; the client's retry always ends
 * complete, and then the storage is the one that an undisturbed run leaves.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createTestApp } from "../support/app.ts";
import { dyingAt, failingAt } from "../support/faults.ts";
import { contentKeys, faultsOf, snapshot } from "../support/invariants.ts";
import { Client, Failed, SCENARIOS, type Scenario } from "../support/scenarios.ts";
import { STORES, type TestStore } from "../support/stores.ts";

describe.each(STORES)("%s", (storeName, makeStore) => {
  let undisturbed: string[];
  const open: TestStore[] = [];
  const newStore = async (scenario: Scenario): Promise<TestStore> => {
    const store = await makeStore();
    open.push(store);
    await scenario.before?.(createTestApp(store.driver).send);
    return store;
  };
  beforeEach(() => void (undisturbed = []));
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close();
  });

  const complete = async (scenario: Scenario, store: TestStore): Promise<void> => {
    const { send, registry } = createTestApp(store.peer());
    await scenario.after(send);
    expect(await faultsOf(store.driver)).toEqual([]);
    await registry.purgeUploads({ ageMs: -1000, dryRun: false });
    const keys = [...(await snapshot(store.driver)).keys()].sort();
    if (undisturbed.length === 0) undisturbed = keys;
    expect(keys).toEqual(undisturbed);
    const files = (await store.residue()).filter((name) => !name.endsWith("/"));
    expect(files).toEqual(store.folder === undefined ? [] : undisturbed);
  };

  const KINDS = [
    ["the process dies", dyingAt],
    ["a storage call fails", failingAt],
  ] as const;

  // A folder adds nothing to the second kind but time.
  describe.each(storeName === "memory" ? KINDS : KINDS.slice(0, 1))("%s during", (kind, faultAt) => {
    it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))("%s", async (name, scenario) => {
      const calm = await newStore(scenario);
      const client = new Client(createTestApp(calm.driver));
      for (const step of scenario.steps) await step(client, false);
      expect((await snapshot(calm.driver)).size, "an undisturbed run leaves no session behind").toBe(
        contentKeys(await snapshot(calm.driver)).length,
      );
      await complete(scenario, calm);

      for (const when of ["before", "after"] as const) {
        for (let k = 1; ; k++) {
          const store = await newStore(scenario);
          const faulty = faultAt(store.driver, k, when);
          const where = (): string => `${name}: ${kind} ${when} call ${k}: ${faulty.calls[k - 1]}`;
          const client = new Client(createTestApp(faulty.driver));
          for (const step of scenario.steps) {
            try {
              await step(client, false);
            } catch (error) {
              if (!(error instanceof Failed)) throw new Error(where(), { cause: error });
              expect(await faultsOf(store.driver), where()).toEqual([]);
              if (faultAt === dyingAt) client.app = createTestApp(store.peer());
              await step(client, true).catch((error: unknown) => {
                throw new Error(`${where()}, then the retry`, { cause: error });
              });
            }
          }
          try {
            await complete(scenario, store);
          } catch (error) {
            throw new Error(where(), { cause: error });
          }
          await open.pop()?.close();
          if (faulty.calls.length < k) break;
          expect(k).toBeLessThan(200);
        }
      }
    });
  });
});
