/** hash-wasm's files of one algorithm each, which have no types of their own. */
declare module "hash-wasm/dist/sha256.umd.min.js" {
  import type { IHasher } from "hash-wasm";
  const build: { createSHA256: () => Promise<IHasher> };
  export default build;
}

declare module "hash-wasm/dist/sha512.umd.min.js" {
  import type { IHasher } from "hash-wasm";
  const build: { createSHA512: () => Promise<IHasher> };
  export default build;
}
