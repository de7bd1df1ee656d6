// Commands on what is selected in a notebook: a cell below it looks at it with a lens, or steers it.

import type { App, Cell, NotebookPanel, NotebookTracker, Palette, Shared } from "./host";

const CATEGORY = "Interpretability";
const LOAD = "%load_ext interp_magics";
/** What the reader has to name in a steering cell. */
const NAME = "VECTOR";

/** The selected text of a cell, or the whole cell. */
export function selected(cell: Cell): string {
  const source = cell.model.sharedModel.getSource();
  const editor = cell.editor;
  if (!editor) return source.trim();
  const { start, end } = editor.getSelection();
  const [from, to] = [editor.getOffsetAt(start), editor.getOffsetAt(end)].sort((a, b) => a - b);
  return (from === to ? source : source.slice(from, to)).trim();
}

/** What ends a line for Python, which is more than what does for an editor: the rest of it would be code. */
const LINES = /[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+/;

/** The cell that reads a text with a lens. */
export function lensCell(text: string): string {
  return LINES.test(text) ? `%%lens\n${text}` : `%lens -- ${text}`;
}

/** The cell that steers a text, or fits a vector from lines that begin with + and -. */
export function steerCell(text: string): string {
  const lines = text.split(LINES).filter((line) => line.trim());
  const contrast = lines.length > 1 && lines.every((line) => /^[+-] /.test(line));
  return contrast ? `%%steer ${NAME}\n${lines.join("\n")}` : `%steer -v ${NAME} --scale 4 -n 40 -- ${lines.join(" ")}`;
}

export function addCommands(app: App, tracker: NotebookTracker, palette: Palette | null, shared: Shared): void {
  const text = (): string => {
    const cell = tracker.currentWidget?.content.activeCell;
    return cell ? selected(cell) : "";
  };
  const add = (id: string, label: string, caption: string, act: (panel: NotebookPanel, text: string) => unknown): void => {
    app.commands.addCommand(id, {
      label,
      caption,
      isEnabled: () => text() !== "",
      execute: () => tracker.currentWidget && text() && act(tracker.currentWidget, text()),
    });
    palette?.addItem({ command: id, category: CATEGORY });
    app.contextMenu.addItem({ command: id, selector: ".jp-Notebook .jp-Cell", rank: 20 });
  };
  const below = (panel: NotebookPanel, source: string): Cell | null => {
    shared["@jupyterlab/notebook"].NotebookActions.insertBelow(panel.content);
    panel.content.activeCell?.model.sharedModel.setSource(source);
    return panel.content.activeCell;
  };
  const run = (panel: NotebookPanel): Promise<boolean> =>
    shared["@jupyterlab/notebook"].NotebookActions.run(panel.content, panel.sessionContext);
  const load = async (panel: NotebookPanel): Promise<void> => {
    const loaded = panel.content.widgets.some((cell) => cell.model.sharedModel.getSource().includes(LOAD));
    if (loaded) return;
    below(panel, LOAD);
    await run(panel);
  };
  add("interp-magics:lens", "Lens the Selection", "What the model was about to say, in a cell below", async (panel, found) => {
    await load(panel);
    below(panel, lensCell(found));
    await run(panel);
  });
  add("interp-magics:steer", "Steer the Selection", "A cell below that steers it; name the vector", async (panel, found) => {
    await load(panel);
    choose(below(panel, steerCell(found)));
  });
}

/** Select the name that has to be filled in. */
function choose(cell: Cell | null): void {
  const editor = cell?.editor;
  const at = cell?.model.sharedModel.getSource().indexOf(NAME) ?? -1;
  const start = editor?.getPositionAt(at);
  const end = editor?.getPositionAt(at + NAME.length);
  if (!editor || !start || !end) return;
  editor.setSelection({ start, end });
  editor.focus();
}
