/** The contract of all storage drivers, on real S3 servers. */
import { draftContract } from "../contract/draft-store.ts";
import { objectContract } from "../contract/storage-driver.ts";
import { listingContract } from "../contract/storage-listing.ts";
import { sharedVersitygw } from "../support/s3-servers.ts";
import { s3Store } from "../support/s3-stores.ts";

for (const [name, root] of [
  ["versitygw", ""],
  ["versitygw, below a root", "a/root/"],
] as const) {
  const store = s3Store(sharedVersitygw, { root });
  objectContract(name, store);
  listingContract(name, store);
  draftContract(name, store);
}
