import { parseDocument } from "yaml";

/** What a text holds, or why it cannot be read. */
export type YamlResult = { readonly value: unknown } | { readonly error: string };

/**
 * Reads YAML. An error names its place and kind only: the parser's own messages quote the text,
 * which may hold a password.
 */
export function readYaml(source: string): YamlResult {
  const document = parseDocument(source, { schema: "core", merge: true, logLevel: "silent" });
  const [error] = document.errors;
  if (error !== undefined) {
    const place = error.linePos?.[0];
    const where = place === undefined ? "" : ` at line ${String(place.line)}, column ${String(place.col)}`;
    return {
      error:
        error.code === "DUPLICATE_KEY"
          ? `a key is given twice${where}`
          : `not valid YAML${where} (${error.code.toLowerCase().replaceAll("_", " ")})`,
    };
  }
  try {
    return { value: document.toJS() as unknown };
  } catch {
    return { error: "not valid YAML (an alias that names nothing, or that repeats too much)" };
  }
}
