/** The Lambda function behind API Gateway. */
import { createFunction } from "../functions/registry/lambda.ts";
import { openStdoutDestination } from "../shared/telemetry/stdout-destination.ts";

const { ready, handler } = createFunction({ env: process.env, destination: openStdoutDestination() });
await ready;

export { handler };
