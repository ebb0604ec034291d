import type { ParameterReference } from "./config.ts";
import type { KeyPath, Report } from "./report.ts";

/**
 * The parameter that a text names, as `ssm:` or `secretsmanager:` and its name or ARN. Undefined: the text is meant as it
 * stands. A name that cannot be is reported.
 */
export function readParameter(text: string, path: KeyPath, report: Report): ParameterReference | undefined {
  const match = /^(ssm|secretsmanager):(.*)$/.exec(text);
  if (match === null) return undefined;
  const [, service = "", name = ""] = match;
  if (!/^[\w.\-/:+=@]{1,1011}$/.test(name)) {
    report.problem(path, `expected the name or ARN of a parameter after ${service}:, such as ssm:/lading/main/secret`);
  }
  return { kind: "parameter", service: service as ParameterReference["service"], name };
}
