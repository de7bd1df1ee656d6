// The parts of JupyterLab that we use, as they look from here. JupyterLab gives the modules themselves when it runs us.

export interface Token<T> {
  readonly name: string;
  readonly __type?: T;
}

export interface Kernel {
  readonly status: string;
}

export interface CellModel {
  readonly type: string;
  readonly sharedModel: { getSource(): string; setSource(source: string): void };
}

export interface Editor {
  getSelection(): { start: Place; end: Place };
  setSelection(selection: { start: Place; end: Place }): void;
  getOffsetAt(place: Place): number;
  getPositionAt(offset: number): Place | undefined;
  focus(): void;
}

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface Cell {
  readonly model: CellModel;
  readonly editor: Editor | null;
}

export interface NotebookPanel {
  readonly content: { readonly activeCell: Cell | null; readonly widgets: readonly Cell[] };
  readonly sessionContext: unknown;
}

export interface NotebookTracker {
  readonly currentWidget: NotebookPanel | null;
}

export interface LuminoWidget {
  id: string;
  readonly node: HTMLElement;
  readonly isVisible: boolean;
  readonly title: { label: string; caption: string; iconClass: string };
  readonly disposed: { connect(handle: () => void): void };
  addClass(name: string): void;
}

export interface Command {
  readonly label: string;
  readonly caption?: string;
  readonly isEnabled?: () => boolean;
  readonly execute: () => unknown;
}

export interface App {
  readonly commands: { addCommand(id: string, command: Command): unknown; notifyCommandChanged(id?: string): void; execute(id: string): Promise<unknown> };
  readonly contextMenu: { addItem(item: { command: string; selector: string; rank?: number }): unknown };
  readonly shell: { add(widget: LuminoWidget, area: string, options?: { rank?: number }): void; activateById(id: string): void };
  readonly serviceManager: { readonly serverSettings: ServerSettings };
}

export interface ServerSettings {
  readonly baseUrl: string;
}

export interface Palette {
  addItem(item: { command: string; category: string }): unknown;
}

export interface EditorExtensions {
  addExtension(extension: { name: string; factory: () => unknown }): void;
}

export interface Plugin {
  readonly id: string;
  readonly description: string;
  readonly autoStart: boolean;
  readonly requires?: readonly Token<unknown>[];
  readonly optional?: readonly Token<unknown>[];
  readonly activate: (app: App, ...services: never[]) => void;
}

/** The modules that JupyterLab shares with its extensions, as far as we use them. */
export interface Shared {
  readonly "@jupyterlab/apputils": { readonly ICommandPalette: Token<Palette> };
  readonly "@jupyterlab/codemirror": {
    readonly IEditorExtensionRegistry: Token<EditorExtensions>;
    readonly EditorExtensionRegistry: { createImmutableExtension(extension: unknown): unknown };
  };
  readonly "@jupyterlab/notebook": {
    readonly INotebookTracker: Token<NotebookTracker>;
    readonly NotebookActions: {
      insertBelow(notebook: NotebookPanel["content"]): void;
      run(notebook: NotebookPanel["content"], session: unknown): Promise<boolean>;
    };
  };
  readonly "@jupyterlab/services": {
    readonly ServerConnection: {
      makeRequest(url: string, init: RequestInit, settings: ServerSettings): Promise<Response>;
    };
  };
  readonly "@lumino/widgets": { readonly Widget: new () => LuminoWidget };
  readonly "@codemirror/view": typeof import("@codemirror/view");
  readonly "@codemirror/state": typeof import("@codemirror/state");
}

export const SHARED: readonly (keyof Shared)[] = [
  "@jupyterlab/apputils",
  "@jupyterlab/codemirror",
  "@jupyterlab/notebook",
  "@jupyterlab/services",
  "@lumino/widgets",
  "@codemirror/view",
  "@codemirror/state",
];
