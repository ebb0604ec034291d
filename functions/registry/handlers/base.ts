import { json, type Answer } from "../answer.ts";

/** GET /v2/: "I speak this API", and, since it asks for credentials like everything else, how clients check a sign-in (end-1). */
export async function getBase(): Promise<Answer> {
  return json({});
}

/** GET /: a sign of life for load balancers, without credentials. */
export async function getRoot(): Promise<Answer> {
  return {
    status: 200,
    headers: { "Content-Type": "text/plain; charset=utf-8" },
    body: "Lading, a container registry: its API is at /v2/\n",
  };
}
