/** Tables of the documentation, for tests that hold them true. */

/** The rows of all tables in a text, cell by cell, without the rules below their titles. */
export function tableRows(markdown: string): string[][] {
  return markdown
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^\|[ :|-]+$/.test(line))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}
