/** The Lambda function that makes the deployment's secret and users' parameter, and changes the secret each month. */
import { SSMClient } from "@aws-sdk/client-ssm";
import { createHandler } from "../functions/secrets/handler.ts";

/** Called by CloudFormation and by the schedule. */
export const handler = createHandler({
  ssm: new SSMClient({}),
  now: () => new Date(),
  log: (message, fields) => process.stdout.write(`${JSON.stringify({ level: "info", msg: message, ...fields })}\n`),
});
