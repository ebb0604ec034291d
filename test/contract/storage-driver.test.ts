import { STORES_ON_DISK } from "../support/stores.ts";
import { draftContract } from "./draft-store.ts";
import { fencedDeleteContract } from "./fenced-deletes.ts";
import { objectContract } from "./storage-driver.ts";
import { listingContract } from "./storage-listing.ts";

for (const [name, makeStore] of STORES_ON_DISK) {
  objectContract(name, makeStore);
  listingContract(name, makeStore);
  draftContract(name, makeStore);
  fencedDeleteContract(name, makeStore, { revokes: true, trash: true });
}
