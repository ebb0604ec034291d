/** The CDK app: `npx cdk synth`, `npx cdk deploy`. */
import { execFileSync } from "node:child_process";
import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { RegistryStack } from "./registry-stack.ts";
import { parseSettings, SettingsError } from "./settings.ts";

try {
  const app = new App();
  const context = app.node.getAllContext() as Record<string, unknown>;
  const settings = parseSettings(context);
  // What is deployed is what was built of these sources, also where nobody has thought of building.
  execFileSync(process.execPath, ["bin/build.js"], { stdio: ["ignore", "ignore", "inherit"] });
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  new RegistryStack(app, `lading-${settings.name}`, settings, {
    description: "Lading: a container registry with no servers",
  });
  app.synth();
} catch (error) {
  if (!(error instanceof SettingsError)) throw error;
  for (const problem of error.problems) process.stderr.write(`${problem}\n`);
  process.exitCode = 1;
}
