// Text of tokens and numbers as a person should see it.

const MARKS: Record<string, string> = { " ": "·", "\n": "↵", "\t": "⇥", "\r": "␍", "\u00a0": "⍽" };

// Characters that would hide, reorder or join what stands beside them are shown as their code point.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ud800-\udfff]/u;

/** A token with white space marked and control characters named. */
export function visible(token: string): string {
  let shown = "";
  for (const character of token) {
    if (character in MARKS) shown += MARKS[character];
    else if (HIDDEN.test(character)) shown += `⟨${character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")}⟩`;
    else shown += character;
  }
  return shown === "" ? "∅" : shown;
}

/** `visible`, cut to `length` characters. */
export function short(token: string, length: number): string {
  const shown = Array.from(visible(token));
  return shown.length <= length ? shown.join("") : `${shown.slice(0, Math.max(1, length - 1)).join("")}…`;
}

/** A probability from its natural logarithm: "83 %", "0.4 %", "2e-6". */
export function probability(logprob: number): string {
  const p = Math.exp(logprob);
  if (p >= 0.9995) return "100 %";
  if (p >= 0.1) return `${(100 * p).toFixed(1)} %`;
  if (p >= 0.001) return `${(100 * p).toPrecision(2)} %`;
  return p.toExponential(0);
}

export function nats(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} nats`;
}
