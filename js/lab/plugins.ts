// What JupyterLab and Notebook 7 get: a panel of pools, commands on a selection, colours in our magics' lines.

import { addCommands } from "./commands";
import { highlighting, STYLE } from "./highlight";
import type { App, EditorExtensions, NotebookTracker, Palette, Plugin, Shared } from "./host";
import { addPanel } from "./panel";
import style from "./style.css";

/** What the pool's view is styled with in a notebook too. */
declare const POOL_STYLE: string;

export function plugins(shared: Shared): Plugin[] {
  const { ICommandPalette } = shared["@jupyterlab/apputils"];
  const { INotebookTracker } = shared["@jupyterlab/notebook"];
  const { IEditorExtensionRegistry, EditorExtensionRegistry } = shared["@jupyterlab/codemirror"];
  return [
    {
      id: "interp-magics:panel",
      description: "The pool beside the notebook: models, queue, my jobs.",
      autoStart: true,
      optional: [ICommandPalette],
      activate: (app: App, palette: Palette | null) => {
        document.head.append(Object.assign(document.createElement("style"), { textContent: POOL_STYLE + style + STYLE }));
        addPanel(app, palette, shared);
      },
    },
    {
      id: "interp-magics:commands",
      description: "Lens and steer what is selected in a notebook.",
      autoStart: true,
      requires: [INotebookTracker],
      optional: [ICommandPalette],
      activate: (app: App, tracker: NotebookTracker, palette: Palette | null) => addCommands(app, tracker, palette, shared),
    },
    {
      id: "interp-magics:highlighting",
      description: "Colours for options of our magics.",
      autoStart: true,
      optional: [IEditorExtensionRegistry],
      activate: (_: App, registry: EditorExtensions | null) =>
        registry?.addExtension({
          name: "interp-magics",
          factory: () => EditorExtensionRegistry.createImmutableExtension(highlighting(shared)),
        }),
    },
  ];
}
