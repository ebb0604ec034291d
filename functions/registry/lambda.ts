/** The registry as a Lambda function behind API Gateway: a host that is called with events and listens nowhere. */
import type { Config } from "../../shared/config/config.ts";
import { ConfigError } from "../../shared/config/load.ts";
import { RegistryError } from "../../shared/oci/error.ts";
import { createLogger } from "../../shared/telemetry/logger.ts";
import type { StdoutDestination } from "../../shared/telemetry/stdout-destination.ts";
import { compose, type Composition } from "./compose.ts";
import { renderError } from "./errors.ts";
import { loadFunctionConfig } from "./function-config.ts";
import { answerEvent, type GatewayEvent, type GatewayResult } from "./gateway-event.ts";

/** What the function is given by its process. */
export interface LambdaEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly destination: StdoutDestination;
}

/** The function, starting. */
export interface LambdaFunction {
  /** Resolves when it can answer, or cannot and has said why. Never rejects. */
  readonly ready: Promise<void>;
  /** Answers an event, after whatever the log says of it was written. */
  readonly handler: (event: GatewayEvent) => Promise<GatewayResult>;
}

/**
 * Puts the registry together at once, while Lambda gives the most CPU. Where that fails, each event tries again and is
 * answered with 503: what was missing, such as a right or a network, may be there by then.
 */
export function createFunction(environment: LambdaEnvironment): LambdaFunction {
  let starting: Promise<Composition | undefined> = start(environment);
  return {
    ready: starting.then(() => undefined),
    handler: async (event) => {
      try {
        let composition = await starting;
        if (composition === undefined) composition = await (starting = start(environment));
        const serving = composition;
        return await answerEvent((request, host) => serving?.fetch(request, host) ?? outOfService(), event);
      } finally {
        await environment.destination.flush();
      }
    },
  };
}

/** Undefined, and one line in the log, where it cannot be done. */
async function start({ env, destination }: LambdaEnvironment): Promise<Composition | undefined> {
  try {
    const { config, notices } = loadFunctionConfig(env);
    const logger = createLogger({ ...config.log, destination });
    for (const notice of notices) logger.warn(notice);
    return await compose(behindGateway(config), logger);
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : undefined;
    createLogger({ level: "error", formatter: "json", destination }).error(
      "the registry cannot start",
      problems === undefined ? { err: error } : { problems },
    );
    return undefined;
  }
}

/** Whether API Gateway keeps the length of an answer without a body nobody knows: a blob's is told by the store. */
function behindGateway(config: Config): Config {
  const { storage } = config;
  return { ...config, storage: { ...storage, redirect: { head: true, ...storage.redirect } } };
}

function outOfService(): Response {
  const error = new RegistryError("UNAVAILABLE", "the registry cannot start; the function's log says why");
  const { status, headers, body } = renderError(error, "").answer;
  return new Response(body as string, { status, headers: headers as Record<string, string> });
}
