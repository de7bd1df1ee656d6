// The parts of a line that calls one of our magics: its name, its options with their values, and the text, which is verbatim.

export type Kind = "magic" | "option" | "value" | "text";

export interface Part {
  readonly kind: Kind;
  readonly from: number;
  readonly to: number;
}

const MAGIC = /^(\s*(?:[\w.,\s]+=\s*)?)(%%?(?:lens|attribution|capture_layers|steer|sae|features|pool|jobs))(?=\s|$)/;
/** Characters in which a magic's name must stand. */
const LONGEST = 200;
/** Options that stand alone; others have a value. */
const ALONE = new Set(
  "-q --quiet -a --no-wait --dry-run --show-code --each-line -f --format --wait --force --help -h".split(" "),
);

/** None for a line that calls none of our magics. */
export function parts(line: string): Part[] {
  // Every line of every editor comes by: most are told apart at a glance, and none costs more for being long.
  const found = line.includes("%") ? MAGIC.exec(line.slice(0, LONGEST)) : null;
  if (!found) return [];
  const start = found[1].length;
  const made: Part[] = [{ kind: "magic", from: start, to: start + found[2].length }];
  let at = start + found[2].length;
  for (let word = next(line, at); word; word = next(line, at)) {
    const text = line.slice(word.from, word.to);
    if (text === "--") {
      made.push({ kind: "option", ...word });
      at = word.to;
      break;
    }
    if (!/^--?[A-Za-z]/.test(text)) break;
    made.push({ kind: "option", ...word });
    at = word.to;
    const value = next(line, at);
    if (!ALONE.has(text) && !text.includes("=") && value) {
      made.push({ kind: "value", ...value });
      at = value.to;
    }
  }
  const rest = next(line, at);
  if (rest) made.push({ kind: "text", from: rest.from, to: line.trimEnd().length });
  return made;
}

/** The word after a place; one in quotes may have spaces in it. */
function next(line: string, at: number): { from: number; to: number } | undefined {
  const found = /\S/.exec(line.slice(at));
  if (!found) return undefined;
  const from = at + found.index;
  const quote = line[from];
  const end = quote === "'" || quote === '"' ? line.indexOf(quote, from + 1) + 1 : 0;
  if (end > 0) return { from, to: end };
  const space = /\s/.exec(line.slice(from));
  return { from, to: space ? from + space.index : line.length };
}
