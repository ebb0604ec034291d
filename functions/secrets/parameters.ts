/** The two parameters that a deployment keeps in Parameter Store: the secret of signed addresses, and the users. */
import { randomBytes } from "node:crypto";
import {
  DeleteParameterCommand,
  GetParameterCommand,
  ParameterAlreadyExists,
  ParameterNotFound,
  PutParameterCommand,
  type SSMClient,
} from "@aws-sdk/client-ssm";

/** Bytes of a secret; written in hex. */
const SECRET_BYTES = 32;
/**
 * Two changes of the secret are at least so far apart, in milliseconds: an address that is signed with it holds for 12 hours,
 * and only one previous secret is kept. So a call that comes twice changes it once.
 */
const LEAST_AGE_MS = 24 * 60 * 60 * 1000;

const NO_USERS = `# One user a line: name:bcrypt-hash. lading users takes them in and out.\n`;

/** Paths in Parameter Store. */
export interface ParameterNames {
  readonly secret: string;
  readonly htpasswd: string;
}

/** Makes those of the two that are not there. Those that are keep their value: the store itself decides, at once. */
export async function createParameters(ssm: SSMClient, { secret, htpasswd }: ParameterNames): Promise<void> {
  await create(ssm, secret, newSecret(), "Lading: secret of signed addresses. The first line signs, all are accepted.");
  await create(ssm, htpasswd, NO_USERS, "Lading: users, as in an htpasswd file with bcrypt lines.");
}

/** Removes both, with what they hold. */
export async function deleteParameters(ssm: SSMClient, { secret, htpasswd }: ParameterNames): Promise<void> {
  for (const Name of [secret, htpasswd]) {
    await ssm.send(new DeleteParameterCommand({ Name })).catch((error: unknown) => {
      if (!(error instanceof ParameterNotFound)) throw error;
    });
  }
}

/**
 * Makes a new secret the first, and keeps the one before as the second, so that what it signed stays good. Says whether it
 * did: not if it was changed less than a day ago. Throws if the parameter is missing or holds no secret.
 */
export async function rotateSecret(ssm: SSMClient, Name: string, now: () => Date): Promise<boolean> {
  const { Parameter } = await ssm.send(new GetParameterCommand({ Name, WithDecryption: true }));
  const current = Parameter?.Value?.split("\n")[0]?.trim() ?? "";
  if (current === "") throw new Error(`the parameter ${Name} holds no secret`);
  const changed = Parameter?.LastModifiedDate?.getTime() ?? 0;
  if (now().getTime() - changed < LEAST_AGE_MS) return false;
  await ssm.send(new PutParameterCommand({ Name, Value: `${newSecret()}\n${current}`, Overwrite: true }));
  return true;
}

async function create(ssm: SSMClient, Name: string, Value: string, Description: string): Promise<void> {
  const command = new PutParameterCommand({ Name, Value, Description, Type: "SecureString", Tier: "Standard" });
  await ssm.send(command).catch((error: unknown) => {
    // There before, or made by this very request, whose answer was lost.
    if (!(error instanceof ParameterAlreadyExists)) throw error;
  });
}

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString("hex");
}
