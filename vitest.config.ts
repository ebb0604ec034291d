import { configDefaults, defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: [
      "test/{unit,contract,gc,verify,http,property,architecture,conformance,model}/**/*.test.ts",
      "test/cloud/limits.test.ts",
    ],
    exclude: [...configDefaults.exclude, "test/gc/soak.test.ts"],
    globalSetup: ["test/support/build.ts"],
    // Only what would never end fails by these: how long a machine under load takes says nothing.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
