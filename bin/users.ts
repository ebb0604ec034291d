/** `lading users`: its command line. */
import { readFile } from "node:fs/promises";
import { ConfigError, loadConfig } from "../shared/config/load.ts";
import { AwsTexts } from "../shared/reloading/aws.ts";
import { UsersFile } from "../shared/users/users-file.ts";
import { UsersParameter } from "../shared/users/users-parameter.ts";
import { hashPassword, namesIn, UsersError, withoutUser, withUser, type UsersStore } from "../shared/users/users.ts";
import { processConsole } from "./console.ts";
import { parseOptions, requestOf, unknownCommand } from "./options.ts";
import { askPassword, readPassword } from "./password.ts";

/** What `lading users --help` says. */
export const USERS_USAGE = `usage: lading users add NAME [--password-stdin] [where]
       lading users remove NAME [where]
       lading users list [where]

Says who may sign in. add asks for a password; who is there already gets another one. Where they are kept:

  --file PATH        an htpasswd file, which add makes where there is none
  --parameter NAME   a parameter of AWS Systems Manager, with the credentials of the AWS command line
  --region REGION    of the parameter
  --config FILE      what auth.htpasswd.path of this config.yml names

Without them it is what REGISTRY_AUTH_HTPASSWD_PATH names, or the file of REGISTRY_CONFIGURATION_PATH.
`;

type Env = Readonly<Record<string, string | undefined>>;

/** Runs it; gives the exit code: 1 where it could not be done, 2 where nobody could tell what to do. */
export async function users(args: readonly string[], env: Env): Promise<number> {
  const console = processConsole();
  const task = requestOf(console, "lading users", USERS_USAGE, () => readTask(args));
  if (typeof task === "number") return task;
  const aws = new AwsTexts(task.where.region);
  try {
    for (const line of await carryOut(task, await storeOf(task.where, env, aws))) console.out(line);
    return 0;
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [sentenceOf(error)];
    for (const problem of problems) console.err(`lading users: ${problem}`);
    return 1;
  } finally {
    await aws.close();
  }
}

interface Where {
  readonly file?: string;
  readonly parameter?: string;
  readonly region?: string;
  readonly config?: string;
}

type Task =
  | { readonly verb: "list"; readonly where: Where }
  | { readonly verb: "remove"; readonly name: string; readonly where: Where }
  | { readonly verb: "add"; readonly name: string; readonly fromStdin: boolean; readonly where: Where };

/** Undefined where help is asked for. Throws with a sentence. */
function readTask(args: readonly string[]): Task | undefined {
  const { values, positionals } = parseOptions({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      "password-stdin": { type: "boolean" },
      file: { type: "string" },
      parameter: { type: "string" },
      region: { type: "string" },
      config: { type: "string" },
    },
  });
  const { help, "password-stdin": fromStdin = false, ...where } = values;
  if (help === true) return undefined;
  const places = [where.file, where.parameter, where.config].filter((place) => place !== undefined);
  if (places.length > 1) throw new Error("expected one of --file, --parameter and --config");
  const [verb, name, ...more] = positionals;
  if (fromStdin && verb !== "add") throw new Error("--password-stdin goes with add");
  if (verb === "list" && name === undefined) return { verb, where };
  if (verb !== "add" && verb !== "remove") {
    const isKnown = verb === undefined || verb === "list";
    throw new Error(
      isKnown ? "expected add NAME, remove NAME or list" : unknownCommand(verb, ["add", "remove", "list"]),
    );
  }
  if (name === undefined || more.length > 0) throw new Error(`expected one name after ${verb}`);
  return verb === "add" ? { verb, name, fromStdin, where } : { verb, name, where };
}

/** What is said of it, in lines. */
async function carryOut(task: Task, store: UsersStore): Promise<readonly string[]> {
  const there = await store.read();
  if (task.verb === "list") {
    if (there === undefined) throw new UsersError(`${store.name} does not exist`);
    return namesIn(there);
  }
  const { verb, name } = task;
  const known = namesIn(there ?? "").includes(name);
  if (verb === "remove") {
    if (!known) throw new UsersError(`there is no user ${name} in ${store.name}`);
    await store.change(withoutUser(name));
    return [`removed ${name} from ${store.name}`];
  }
  // A name that cannot be is refused before anybody is asked for a password.
  withUser(name, "");
  const password = task.fromStdin
    ? await readPassword(process.stdin)
    : await askPassword({ input: process.stdin, output: process.stderr });
  await store.change(withUser(name, await hashPassword(password)));
  return [known ? `gave ${name} another password in ${store.name}` : `added ${name} to ${store.name}`];
}

async function storeOf({ file, parameter, config }: Where, env: Env, aws: AwsTexts): Promise<UsersStore> {
  if (file !== undefined) return new UsersFile(file);
  if (parameter !== undefined) return new UsersParameter(aws, parameter.replace(/^ssm:/, ""));
  const { REGISTRY_AUTH_HTPASSWD_PATH: given = "", REGISTRY_CONFIGURATION_PATH: usual = "" } = env;
  if (config === undefined && given !== "") return placeAt(given, aws);
  const path = config ?? usual;
  if (path === "") throw new UsersError("say where the users are kept, with --file, --parameter or --config");
  const { auth } = loadConfig({ yaml: await readConfig(path), env }).config;
  if (auth.kind !== "htpasswd") throw new UsersError(`${path} has no auth.htpasswd: everybody may do everything`);
  return placeAt(auth.users.kind === "file" ? auth.users.path : `${auth.users.service}:${auth.users.name}`, aws);
}

/** What `auth.htpasswd.path` names. */
function placeAt(path: string, aws: AwsTexts): UsersStore {
  if (path.startsWith("ssm:")) return new UsersParameter(aws, path.slice("ssm:".length));
  if (path.startsWith("secretsmanager:")) {
    throw new UsersError(`${path} is a secret of Secrets Manager, which lading only reads; change it there`);
  }
  return new UsersFile(path);
}

async function readConfig(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new UsersError(`the configuration ${path} cannot be read: ${String(error)}`, { cause: error });
  }
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
