/** What the suites over HTTP begin with: an app on an empty store, new for each test. */
import { afterEach, beforeEach, expect } from "vitest";
import type { Registry, RegistryParts } from "../../shared/registry/registry.ts";
import { createTestApp, type Send, type TestApp } from "./app.ts";
import { faultsOf } from "./invariants.ts";
import type { StoreFactory, TestStore } from "./stores.ts";

/** The app and the store of the test that is running. */
export interface FreshApp {
  readonly store: TestStore;
  readonly registry: Registry;
  readonly send: Send;
  /** From here on another process answers, on the same store; its registry is made as `parts` say. */
  restart(parts?: Partial<RegistryParts>): void;
}

/**
 * Makes them before each test of the suite that calls this. After each test nothing may have failed inside the app, and what
 * lies in the store must be sound, unless the suite damages it by itself.
 */
export function freshApp(makeStore: StoreFactory, { damages = false } = {}): FreshApp {
  let store: TestStore;
  let apps: TestApp[];
  const app = (): TestApp => apps.at(-1) as TestApp;
  beforeEach(async () => {
    store = await makeStore();
    apps = [createTestApp(store.driver)];
  });
  afterEach(async () => {
    expect(apps.flatMap(({ faults }) => faults)).toEqual([]);
    if (!damages) expect(await faultsOf(store.driver)).toEqual([]);
    await store.close();
  });
  return {
    get store() {
      return store;
    },
    get registry() {
      return app().registry;
    },
    send: async (...request) => await app().send(...request),
    restart: (registry = {}) => void apps.push(createTestApp(store.peer(), { registry })),
  };
}
