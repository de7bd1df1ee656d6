// Marks on the lines of our magics, so that options can be told from the prompt that follows them.

import type { DecorationSet, EditorView, ViewUpdate } from "@codemirror/view";
import type { Shared } from "./host";
import { type Kind, parts } from "./words";

export const STYLE = `
.iw-code-magic, .iw-code-magic * { color: var(--jp-mirror-editor-keyword-color) !important; font-weight: 600; }
.iw-code-option, .iw-code-option * { color: var(--jp-mirror-editor-attribute-color, #0b63b0) !important; }
.iw-code-value, .iw-code-value * { color: var(--jp-mirror-editor-number-color) !important; }
.iw-code-text, .iw-code-text * { color: var(--jp-mirror-editor-string-color) !important; font-weight: normal !important; }
`;

/** An extension of CodeMirror, made of the modules that the page has. */
export function highlighting(shared: Shared): unknown {
  const { Decoration, ViewPlugin } = shared["@codemirror/view"];
  const { RangeSetBuilder, Prec } = shared["@codemirror/state"];
  const marks = Object.fromEntries(
    (["magic", "option", "value", "text"] as const).map((kind) => [kind, Decoration.mark({ class: `iw-code-${kind}` })]),
  ) as Record<Kind, ReturnType<typeof Decoration.mark>>;

  function marked(view: EditorView): DecorationSet {
    const builder = new RangeSetBuilder<ReturnType<typeof Decoration.mark>>();
    for (const { from, to } of view.visibleRanges) {
      for (let at = from; at <= to; ) {
        const line = view.state.doc.lineAt(at);
        for (const part of parts(line.text)) builder.add(line.from + part.from, line.from + part.to, marks[part.kind]);
        at = line.to + 1;
      }
    }
    return builder.finish();
  }

  class Marks {
    decorations: DecorationSet;
    constructor(view: EditorView) {
      this.decorations = marked(view);
    }
    update(update: ViewUpdate): void {
      if (update.docChanged || update.viewportChanged) this.decorations = marked(update.view);
    }
  }
  return Prec.highest(ViewPlugin.fromClass(Marks, { decorations: (marks) => marks.decorations }));
}
