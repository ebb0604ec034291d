import { AMAZON_S3, type S3Settings, type StorePromises } from "../../shared/storage/s3/settings.ts";
import type { Logger } from "../../shared/telemetry/logger.ts";

/** How a store is asked. */
interface Asking {
  readonly readOnly: boolean;
  readonly logger: Logger;
  /** The setting that cannot be kept without conditional writes, if there is one. */
  readonly needed?: string | undefined;
  /** A store that cannot be asked is no matter of later: what it is opened for cannot begin. */
  readonly atOnce: boolean;
}

/**
 * What a store keeps of what Amazon S3 promises. One with an address of its own is asked now; if that fails, again when it is
 * next needed. What it promises is logged, and what is weaker for it, a sentence each. A registry that does not write relies
 * on none of it, and asks nothing. Throws where the store says that it cannot keep what a setting needs, and with `atOnce`
 * where it cannot be asked; what it gives rejects for that, and while the store cannot be asked.
 */
export async function storePromises(
  settings: S3Settings,
  { readOnly, logger, needed, atOnce }: Asking,
): Promise<() => Promise<StorePromises>> {
  if (settings.endpoint === undefined || readOnly) return async () => AMAZON_S3;
  const { probePromises } = await import("../../shared/storage/s3/probe.ts");
  const ask = async (): Promise<StorePromises> => {
    const { promises, weaker } = await probePromises(settings);
    logger.info("asked the store what it promises", { ...promises });
    for (const what of weaker) logger.warn(`the store ${what}`);
    if (needed !== undefined && !promises.conditionalWrites) {
      throw new UnkeptSettingError(`${needed}: this store does not decide conditional writes, so it cannot be kept`);
    }
    return promises;
  };
  let asked: Promise<StorePromises> | undefined;
  const askedOnce = async (): Promise<StorePromises> => {
    asked ??= ask();
    try {
      return await asked;
    } catch (error) {
      asked = undefined;
      throw error;
    }
  };
  await askedOnce().catch((error: unknown) => {
    if (atOnce || error instanceof UnkeptSettingError) throw error;
    logger.error("the store cannot be asked what it promises; it is asked again when that is needed", { err: error });
  });
  return askedOnce;
}

/** A setting that this store cannot keep. */
class UnkeptSettingError extends Error {
  override readonly name = "UnkeptSettingError";
}
