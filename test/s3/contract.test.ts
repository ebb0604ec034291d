/** The contract of all storage drivers, on real S3 servers. */
import { draftContract } from "../contract/draft-store.ts";
import { fencedDeleteContract } from "../contract/fenced-deletes.ts";
import { objectContract } from "../contract/storage-driver.ts";
import { listingContract } from "../contract/storage-listing.ts";
import { rgwStore, versitygwPairStore, versitygwStore } from "../support/s3-stores.ts";

for (const [name, store] of [
  ["versitygw", versitygwStore()],
  ["versitygw, below a root", versitygwStore("a/root/")],
  ["versitygw, with a bucket for drafts", versitygwPairStore((key) => key.startsWith("d/"))],
  ["Ceph RGW", rgwStore()],
] as const) {
  objectContract(name, store);
  listingContract(name, store);
  draftContract(name, store);
  fencedDeleteContract(name, store, { revokes: false, trash: false });
}
