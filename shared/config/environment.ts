import { nearest, allKeys, shapeOf } from "./keys.ts";
import { dotted, variableOf, type KeyPath, type Report } from "./report.ts";
import { isMap, type Schema } from "./values.ts";
import { readYaml } from "./yaml.ts";

type Tree = Record<string, unknown>;

const prefix = "REGISTRY_";

/** Variables that begin like ours and are not. */
const othersVariables: ReadonlyMap<string, string> = new Map([
  ["REGISTRY_AUTH_FILE", "it is podman's and skopeo's own variable, not a key of the registry"],
  ["REGISTRY_VERSION", "the version of the format is read from the file alone"],
]);

/** Read by whoever starts the registry, not here. */
const handledElsewhere = new Set(["REGISTRY_CONFIGURATION_PATH"]);

/** What Kubernetes sets in every container beside a service called `registry` or `registry-…`. */
const serviceLink = /^REGISTRY_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)$/;
const serviceLinkPort = /^REGISTRY_(?:\w+_)?PORT$/;

/** Keys that distribution's variables call by another name than its file does. */
const otherNames: ReadonlyMap<string, string> = new Map([
  ["health.filecheckers", "file"],
  ["health.httpcheckers", "http"],
  ["health.tcpcheckers", "tcp"],
  ["notifications.eventconfig", "events"],
  ["compatibility.schema1.trustkey", "signingkeyfile"],
]);

/**
 * Where a misspelt variable would leave the registry open, in clear, or elsewhere than meant: there
 * it is refused, and so is what looks like a slip for a key there. Any other is named in a notice,
 * as distribution does.
 */
const strictSections: readonly string[] = ["AUTH", "STORAGE", "HTTP_TLS"];

/**
 * Lays `REGISTRY_A_B_C` over key a.b.c of the tree, in place, as distribution's
 * configuration/parser.go does: in the order of the names, so that REGISTRY_STORAGE comes before
 * REGISTRY_STORAGE_DELETE_ENABLED; each value is YAML and takes the place of all that is there.
 */
export function applyEnvironment(
  tree: Tree,
  root: Schema,
  environment: Readonly<Record<string, string | undefined>>,
  report: Report,
): void {
  for (const variable of Object.keys(environment).sort()) {
    const value = environment[variable];
    if (value === undefined || !variable.startsWith(prefix)) continue;
    if (handledElsewhere.has(variable) || isServiceLink(variable, value)) continue;
    const foreign = othersVariables.get(variable);
    if (foreign !== undefined) report.noEffect([variable], foreign);
    else apply(tree, root, variable, value, report);
  }
}

function isServiceLink(variable: string, value: string): boolean {
  return serviceLink.test(variable) || (serviceLinkPort.test(variable) && /^(?:tcp|udp|sctp):\/\//.test(value));
}

function apply(tree: Tree, root: Schema, variable: string, value: string, report: Report): void {
  const place = locate(tree, root, variable.slice(prefix.length).toLowerCase().split("_"));
  if (place === undefined) {
    unknownVariable(root, variable, report);
    return;
  }
  const decoded = decode(place.schema, value);
  if ("error" in decoded) {
    report.problem([variable], decoded.error);
    return;
  }
  const lost = lostKeys(tree, place, decoded.value);
  if (!assign(tree, place.path, decoded.value)) {
    report.problem([variable], `${dotted(place.path)} is past the end of the list, which has fewer entries`);
    return;
  }
  if (lost.length > 0) {
    const keys = lost.map((key) => dotted([...place.path, key])).join(", ");
    report.notice([variable], `replaces the whole section, as in distribution; without effect in the file: ${keys}`);
  }
  report.setBy(place.path, variable);
}

interface Place {
  readonly path: KeyPath;
  readonly schema: Schema | undefined;
}

/** Follows the parts of a variable's name through the schema. */
function locate(tree: Tree, root: Schema, parts: readonly string[]): Place | undefined {
  const path: (string | number)[] = [];
  let schema: Schema | undefined = root;
  let value: unknown = tree;
  for (const part of parts) {
    if (part === "" || schema === undefined) return undefined;
    const shape = shapeOf(schema);
    let key: string | number = part;
    if (shape.kind === "map") {
      key = otherNames.get(dotted([...path, part])) ?? part;
      if (!Object.hasOwn(shape.keys, key)) return undefined;
      schema = shape.keys[key];
    } else if (shape.kind === "record") {
      key = (isMap(value) && Object.keys(value).find((name) => name.toLowerCase() === part)) || part;
      schema = shape.value;
    } else if (shape.kind === "list") {
      if (!/^\d+$/.test(part)) return undefined;
      key = Number(part);
      schema = shape.item;
    } else if (shape.form !== "anything") {
      return undefined;
    }
    path.push(key);
    value = Array.isArray(value) || isMap(value) ? (value as Tree)[key] : undefined;
  }
  return { path, schema };
}

/**
 * The value of a variable. A key that is text takes whatever is not a YAML string as it stands, so
 * that `[::]:5000` and a number need no second pair of quotes.
 */
function decode(schema: Schema | undefined, value: string): ReturnType<typeof readYaml> {
  const read = readYaml(value);
  const shape = schema && shapeOf(schema);
  if (schema === undefined || (shape?.kind === "leaf" && shape.form === "text")) {
    const plain = "value" in read && (typeof read.value === "string" || read.value === null);
    return plain ? read : { value };
  }
  return read;
}

/** The keys of the file's section that a variable for the whole section takes away. */
function lostKeys(tree: Tree, { path, schema }: Place, value: unknown): string[] {
  const before = path.length === 1 ? tree[String(path[0])] : undefined;
  if (!isMap(before) || schema === undefined || shapeOf(schema).kind !== "map") return [];
  const kept = isMap(value) ? Object.keys(value) : [String(value)];
  return Object.keys(before).filter((key) => !kept.includes(key));
}

/** Puts a value at a path, making what is missing on the way. False: a place past the end of a list. */
function assign(tree: Tree, path: KeyPath, value: unknown): boolean {
  let at: Tree | unknown[] = tree;
  for (const [index, key] of path.entries()) {
    if (Array.isArray(at) && Number(key) > at.length) return false;
    const holder = at as Tree;
    if (index === path.length - 1) {
      // A section given as one word, such as `auth: htpasswd`, is that entry with nothing in it.
      holder[key] = path.length === 1 ? sectionOf(String(key), value) : value;
      return true;
    }
    const below: unknown = Object.hasOwn(holder, key) ? holder[key] : undefined;
    // A copy: an alias of YAML may have put the same map in two places.
    const next: Tree | unknown[] = isMap(below)
      ? { ...below }
      : Array.isArray(below)
        ? [...(below as unknown[])]
        : typeof path[index + 1] === "number"
          ? []
          : {};
    holder[key] = next;
    at = next;
  }
  return true;
}

/** `storage: inmemory` is `storage: {inmemory: {}}`, and so is `auth: htpasswd`. */
export function sectionOf(name: string, value: unknown): unknown {
  const byName = name === "storage" || name === "auth";
  return byName && typeof value === "string" && value !== "" ? { [value]: {} } : value;
}

function unknownVariable(root: Schema, variable: string, report: Report): void {
  const name = variable.slice(prefix.length);
  const known = nearest(
    name,
    [...allKeys(root)].map((key) => variableOf(key).slice(prefix.length)),
  );
  const hint = known === undefined ? "" : `; did you mean ${prefix}${known}?`;
  if (isStrict(name) || isStrict(known ?? "")) report.problem([variable], `names no key of the configuration${hint}`);
  else report.notice([variable], `names no key of the configuration, and has no effect${hint}`);
}

function isStrict(name: string): boolean {
  return strictSections.some((section) => `${name.toUpperCase()}_`.startsWith(`${section}_`));
}
