/** The stack with some settings, as CloudFormation would be given it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { App, Validations } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { AwsSolutionsChecks } from "cdk-nag";
import { RegistryStack } from "../../infra/registry-stack.ts";
import { parseSettings } from "../../infra/settings.ts";

export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DeletionPolicy?: string;
}

export interface Synthesized {
  readonly template: Template;
  readonly resources: Readonly<Record<string, Resource>>;
  readonly outputs: Readonly<Record<string, { readonly Value: unknown }>>;
  /** What CDK and cdk-nag complain of, and nobody gave a reason for. */
  readonly findings: readonly string[];
}

interface Report {
  readonly pluginReports: readonly {
    readonly violations: readonly {
      readonly ruleName: string;
      readonly violatingConstructs: readonly { readonly constructPath?: string }[];
    }[];
  }[];
}

/** Synthesizes with the flags of cdk.json and these settings. The bundles must be built. */
export function synth(settings: Readonly<Record<string, unknown>> = {}): Synthesized {
  const { context } = JSON.parse(readFileSync("cdk.json", "utf8")) as { context: Record<string, unknown> };
  const outdir = mkdtempSync(path.join(tmpdir(), "lading-cdk-"));
  try {
    const app = new App({ context: { ...context, ...settings }, outdir });
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
    const parsed = parseSettings(app.node.getAllContext() as Record<string, unknown>);
    const stack = new RegistryStack(app, `lading-${parsed.name}`, parsed);
    app.synth();
    const report = JSON.parse(readFileSync(path.join(outdir, "validation-report.json"), "utf8")) as Report;
    const findings = report.pluginReports.flatMap(({ violations }) =>
      violations.flatMap(({ ruleName, violatingConstructs }) =>
        violatingConstructs.map(({ constructPath }) => `${ruleName} ${constructPath ?? "?"}`),
      ),
    );
    const template = Template.fromStack(stack);
    const json = template.toJSON() as {
      Resources: Record<string, Resource>;
      Outputs: Record<string, { Value: unknown }>;
    };
    return { template, resources: json.Resources, outputs: json.Outputs, findings };
  } finally {
    rmSync(outdir, { recursive: true });
    process.exitCode = 0;
  }
}

/** Resources of a type, by their logical ids. */
export function ofType({ resources }: Synthesized, type: string): Record<string, Resource> {
  return Object.fromEntries(Object.entries(resources).filter(([, { Type }]) => Type === type));
}

/** The one resource of a type whose logical id begins so. Throws where there is not one. */
export function the(stack: Synthesized, type: string, beginning: string): Resource & { readonly id: string } {
  const found = Object.entries(ofType(stack, type)).filter(([id]) =>
    new RegExp(`^${beginning}(?:[0-9A-F]{8})?$`).test(id),
  );
  const [[id, resource] = []] = found;
  if (found.length !== 1 || id === undefined || resource === undefined) {
    throw new Error(`${found.length} resources of ${type} begin with ${beginning}`);
  }
  return { id, ...resource };
}

export interface Statement {
  readonly Sid?: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

/** What a role may do: a line for each action on each resource, references as `<LogicalId>`. */
export function rights(stack: Synthesized, role: string): string[] {
  const { Policies } = the(stack, "AWS::IAM::Role", role).Properties as {
    Policies: { PolicyDocument: { Statement: Statement[] } }[];
  };
  return Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement).flatMap(({ Action, Resource }) =>
    [Action].flat().flatMap((action) => [Resource].flat().map((resource) => `${action} ${textOf(resource)}`)),
  );
}

/** A value with its references as `<LogicalId>`; the hash at the end of an id is left out. */
export function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  const [[intrinsic, argument] = []] = Object.entries(value as object) as [string, unknown][];
  const short = (id: unknown): string => `<${String(id).replace(/[0-9A-F]{8}$/, "")}>`;
  if (intrinsic === "Ref") return short(argument);
  if (intrinsic === "Fn::GetAtt") return short((argument as string[])[0]);
  if (intrinsic === "Fn::Join") return (argument as [string, unknown[]])[1].map(textOf).join("");
  return JSON.stringify(value);
}
