/** The entry of the worker thread: one comparison after the other, far from the event loop that answers requests. */
import { parentPort } from "node:worker_threads";
import { compare, type ComparisonRequest } from "./bcrypt-compare.ts";

const port = parentPort;
if (port === null) throw new Error("this file is a worker thread of the registry; it is not started by hand");

port.on("message", (request: ComparisonRequest) => port.postMessage(compare(request)));
