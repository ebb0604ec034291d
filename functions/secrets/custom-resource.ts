/**
 * The protocol of CloudFormation's custom resources: an event with an address that the outcome is PUT to. Without an answer
 * CloudFormation waits for an hour.
 *
 * @see https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
 */
import { setTimeout as delay } from "node:timers/promises";

const ATTEMPTS = 4;
const PAUSE_MS = 500;
const ANSWER_MS = 10_000;
/** An answer has at most 4 KB in all. */
const MOST_REASON = 1000;

/** What CloudFormation calls a function with. */
export interface ResourceEvent {
  readonly RequestType: "Create" | "Update" | "Delete";
  readonly ResponseURL: string;
  readonly StackId: string;
  readonly RequestId: string;
  readonly LogicalResourceId: string;
  readonly PhysicalResourceId?: string;
  readonly ResourceProperties: Readonly<Record<string, unknown>>;
}

/** Whether a function was called by CloudFormation. */
export function isResourceEvent(event: object): event is ResourceEvent {
  return "RequestType" in event && "ResponseURL" in event;
}

/**
 * Does the work, and tells CloudFormation how it went; `work` gives the id of what it made. Throws only where CloudFormation
 * cannot be told: Lambda then calls again.
 */
export async function answerResource(
  event: ResourceEvent,
  work: () => Promise<string>,
  pauseMs: number = PAUSE_MS,
): Promise<void> {
  let outcome: { Status: "SUCCESS" | "FAILED"; PhysicalResourceId: string; Reason?: string };
  try {
    outcome = { Status: "SUCCESS", PhysicalResourceId: await work() };
  } catch (error) {
    const PhysicalResourceId = event.PhysicalResourceId ?? `${event.LogicalResourceId}-failed`;
    outcome = { Status: "FAILED", PhysicalResourceId, Reason: String(error).slice(0, MOST_REASON) };
  }
  const { StackId, RequestId, LogicalResourceId, ResponseURL } = event;
  const body = JSON.stringify({ ...outcome, StackId, RequestId, LogicalResourceId });
  for (let attempt = 1; ; attempt++) {
    try {
      // The address is signed without a content type.
      const headers = { "content-type": "" };
      const signal = AbortSignal.timeout(ANSWER_MS);
      const { status, ok } = await fetch(ResponseURL, { method: "PUT", headers, body: Buffer.from(body), signal });
      if (!ok) throw new Error(`CloudFormation answered ${status}`);
      return;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await delay(pauseMs * attempt);
    }
  }
}
