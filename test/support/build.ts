import { execFileSync } from "node:child_process";

/** Builds dist/ once before any suite: suites that start the real server run what `npm start` runs. */
export default function setup(): void {
  execFileSync(process.execPath, ["bin/build.js"], { stdio: "inherit" });
}
