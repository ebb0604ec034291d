/** One stack for a whole suite. */
import { hashSync } from "bcryptjs";
import { sharedVersitygw } from "../support/s3-servers.ts";
import { startDeployed, type DeployedCloud } from "./deployed.ts";

let started: Promise<DeployedCloud> | undefined;

/** Starts it when it is first asked for, with a user `user` whose password is `secret`. Gives the API's host and port. */
export async function sharedStack(): Promise<string> {
  started ??= sharedVersitygw().then(
    async (store) =>
      await startDeployed({
        store,
        users: [`user:${hashSync("secret", 5)}`],
        env: { REGISTRY_VALIDATION_MANIFESTS_SPARSE: "true" },
      }),
  );
  return (await started).api;
}

/** Ends it; throws where a role did not allow something. */
export async function endStack(): Promise<void> {
  if (started === undefined) return;
  const stack = await started;
  await stack.close();
  const denied = Object.values(stack.policies).flatMap((policy) => policy.denied);
  if (denied.length > 0) throw new Error(`the roles do not allow: ${JSON.stringify(denied)}`);
}
