import * as z from "zod";
import { dotted, type KeyPath } from "./report.ts";
import { isMap, notes, type Note, type Schema } from "./values.ts";

/** What lies below a key: named keys, keys of any name, a list, or nothing that is looked into. */
export type Shape =
  | { readonly kind: "map"; readonly keys: Readonly<Record<string, Schema>> }
  | { readonly kind: "record"; readonly value: Schema }
  | { readonly kind: "list"; readonly item: Schema | undefined }
  | { readonly kind: "leaf"; readonly form: Note["form"] };

/** The schema and everything it wraps, from the outside in. */
function* layers(schema: unknown): Generator<Schema> {
  for (let layer: unknown = schema; layer instanceof z.ZodType;) {
    yield layer;
    if (layer instanceof z.ZodOptional || layer instanceof z.ZodNullable) layer = layer.unwrap();
    else if (layer instanceof z.ZodPipe) layer = layer.in instanceof z.ZodTransform ? layer.out : layer.in;
    else return;
  }
}

/** What the schema says lies below a key. */
export function shapeOf(schema: Schema): Shape {
  for (const layer of layers(schema)) {
    const form = notes.get(layer)?.form;
    if (form === "list") return { kind: "list", item: undefined };
    if (form !== undefined) return { kind: "leaf", form };
    if (layer instanceof z.ZodObject) return { kind: "map", keys: layer.shape };
    if (layer instanceof z.ZodRecord) return { kind: "record", value: layer.valueType as Schema };
    if (layer instanceof z.ZodArray) return { kind: "list", item: layer.element as Schema };
  }
  return { kind: "leaf", form: undefined };
}

/** Every key that is given and does nothing here, with the reason. */
export function* keysWithoutEffect(
  schema: Schema,
  value: unknown,
  path: KeyPath = [],
): Generator<{ path: KeyPath; because: string }> {
  for (const layer of layers(schema)) {
    const note = notes.get(layer)?.noEffect;
    if (note === undefined) continue;
    if (!note.unless(value)) yield { path, because: note.because };
    return;
  }
  const shape = shapeOf(schema);
  if (shape.kind !== "map" || !isMap(value)) return;
  for (const [key, below] of Object.entries(shape.keys)) {
    if (Object.hasOwn(value, key)) yield* keysWithoutEffect(below, value[key], [...path, key]);
  }
}

/** Every key there is, as a path; `*` stands for a name of one's own and for a place in a list. */
export function* allKeys(schema: Schema, path: KeyPath = []): Generator<KeyPath> {
  if (path.length > 0) yield path;
  const shape = shapeOf(schema);
  if (shape.kind === "map") {
    for (const [key, below] of Object.entries(shape.keys)) yield* allKeys(below, [...path, key]);
  }
  if (shape.kind === "list" && shape.item !== undefined) yield* allKeys(shape.item, [...path, "*"]);
}

/** The known key that somebody who wrote this one may have meant, if there is one. */
export function nearestKey(root: Schema, path: KeyPath): string | undefined {
  const parent = path.slice(0, -1);
  const name = String(path.at(-1));
  const known = [...allKeys(root)];
  const place = dotted(parent.map((step) => (typeof step === "number" ? "*" : step)));
  const siblings = known.filter((key) => key.length === path.length && dotted(key.slice(0, -1)) === place);
  const sibling = nearest(
    name,
    siblings.map((key) => String(key.at(-1))),
  );
  if (sibling !== undefined) return dotted([...parent, sibling]);
  const elsewhere = known.find((key) => key.at(-1) === name.toLowerCase() && !key.includes("*"));
  return elsewhere && dotted(elsewhere);
}

/** The one of some words that differs least from a word, if it differs little. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = edits(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Letters to add, take away, change or swap with the next (optimal string alignment). */
function edits(from: string, to: string): number {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  const cost = (row: number, column: number) => rows[row]?.[column] ?? Infinity;
  for (let row = 1; row <= from.length; row++) {
    const costs = [row];
    rows.push(costs);
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      costs.push(
        Math.min(
          cost(row - 1, column) + 1,
          cost(row, column - 1) + 1,
          cost(row - 1, column - 1) + (same ? 0 : 1),
          swapped ? cost(row - 2, column - 2) + 1 : Infinity,
        ),
      );
    }
  }
  return cost(from.length, to.length);
}
