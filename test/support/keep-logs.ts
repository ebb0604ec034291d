/** For every test file: what the servers printed is kept when a test fails. */
import { afterEach } from "vitest";
import { keepServerLogs } from "./s3-servers.ts";

afterEach(({ task }) => {
  if (task.result?.state === "fail") keepServerLogs();
});
