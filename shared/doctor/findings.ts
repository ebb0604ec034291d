/** How checks say what they saw. */
import type { Address, Finding, Visit } from "./visit.ts";

/** It is as it should be. */
export function pass(text: string): Finding {
  return { level: "pass", text };
}

/** It works, and there is something to know. */
export function note(text: string, advice?: string): Finding {
  return { level: "note", text, ...(advice === undefined ? {} : { advice }) };
}

/** Something will not work, and this is what to do. */
export function fail(text: string, advice: string): Finding {
  return { level: "fail", text, advice };
}

/** Asks each address, and says of each what was seen. */
export async function ofEach(visit: Visit, look: (address: Address) => Promise<Finding>): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const address of visit.addresses()) {
    const finding = await look(address);
    findings.push({ ...finding, text: `${address.label}: ${finding.text}` });
  }
  return findings;
}

/** An answer's text, cut. */
export function textOf(body: Buffer): string {
  return body.toString("utf8", 0, 200).replace(/\s+/g, " ");
}
