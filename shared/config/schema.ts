import { auth } from "./auth.ts";
import { health } from "./health.ts";
import { http } from "./http.ts";
import { log, logLevel } from "./log.ts";
import { storage } from "./storage.ts";
import { unserved } from "./unserved.ts";
import { anything, count, map, section, setting } from "./values.ts";
import { validation } from "./validation.ts";

/** Every key there is. One that is not here is refused, so that a slip of the pen cannot open anything. */
export const schema = map({
  // Checked where the file is read.
  version: anything(),
  log,
  loglevel: logLevel,
  storage,
  auth,
  http,
  health,
  catalog: section({ maxentries: setting(count(-Infinity)) }),
  tags: section({ maxtags: setting(count(0)) }),
  validation,
  ...unserved,
});
