/** The thread that reads: takes requests in batches, answers them in batches. */
import { parentPort } from "node:worker_threads";
import { asError } from "../as-error.ts";
import { readNow, type ReadRequest } from "./reads.ts";

export type Batch = readonly (readonly [id: number, request: ReadRequest])[];
export type Answers = readonly (readonly [id: number, value: unknown, error?: { message: string; code: unknown }])[];

// Absent files are answers here, and where the errors were made says nothing: stacks would only cost.
Error.stackTraceLimit = 0;

parentPort?.on("message", (batch: Batch) => {
  const answers = batch.map(([id, request]): Answers[number] => {
    try {
      return [id, readNow(request)];
    } catch (error) {
      return [id, undefined, { message: asError(error).message, code: (error as { code?: unknown }).code }];
    }
  });
  parentPort?.postMessage(answers);
});
