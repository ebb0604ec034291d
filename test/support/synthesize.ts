import { execFileSync } from "node:child_process";

/** Where the stack as it is without settings lies, for suites that start what would be deployed. */
export const CDK_OUT = "reports/cdk.out";

/** Builds, and synthesizes the stack once before any suite. */
export default function setup(): void {
  execFileSync(process.execPath, ["bin/build.js"], { stdio: "inherit" });
  const command = ["node_modules/aws-cdk/bin/cdk", "synth", "--quiet", "--output", CDK_OUT];
  execFileSync(process.execPath, command, { stdio: ["ignore", "ignore", "inherit"] });
}
