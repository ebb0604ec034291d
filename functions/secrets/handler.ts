/** Makes and removes the parameters with the stack, and changes the secret each month. */
import type { SSMClient } from "@aws-sdk/client-ssm";
import { answerResource, isResourceEvent, type ResourceEvent } from "./custom-resource.ts";
import { createParameters, deleteParameters, rotateSecret, type ParameterNames } from "./parameters.ts";

/** What the schedule calls with. */
export interface RotateEvent {
  readonly rotate: true;
  readonly secret: string;
}

/** What the function needs. */
export interface SecretsEnvironment {
  readonly ssm: SSMClient;
  readonly now: () => Date;
  /** One line of the log. */
  readonly log: (message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Between attempts to answer CloudFormation. */
  readonly pauseMs?: number;
}

/** The function: answers CloudFormation, or changes the secret. Throws what it could not do, so that it is called again. */
export function createHandler({ ssm, now, log, pauseMs }: SecretsEnvironment) {
  return async (event: ResourceEvent | RotateEvent): Promise<void> => {
    if (!isResourceEvent(event)) {
      const rotated = await rotateSecret(ssm, event.secret, now);
      log(rotated ? "the secret was changed" : "the secret was changed less than a day ago", { secret: event.secret });
      return;
    }
    await answerResource(
      event,
      async () => {
        const names = namesOf(event);
        // What is deleted after its making failed was never made by it.
        if (event.RequestType === "Delete" && event.PhysicalResourceId !== names.secret) {
          return event.PhysicalResourceId ?? names.secret;
        }
        if (event.RequestType !== "Delete") await createParameters(ssm, names);
        else if (event.ResourceProperties["Removal"] === "destroy") await deleteParameters(ssm, names);
        log("the parameters are as the stack wants them", { request: event.RequestType, ...names });
        // Another name makes another resource, so that CloudFormation asks for the old one to be deleted.
        return names.secret;
      },
      pauseMs,
    );
  };
}

function namesOf({ ResourceProperties }: ResourceEvent): ParameterNames {
  const { Secret: secret, Htpasswd: htpasswd } = ResourceProperties;
  if (typeof secret !== "string" || typeof htpasswd !== "string") throw new Error("Secret and Htpasswd are missing");
  return { secret, htpasswd };
}
