// Light or dark, as the page is now, and a call when that changes.

export interface Theme {
  readonly dark: boolean;
  readonly text: string;
  readonly faint: string;
  readonly line: string;
  readonly accent: string;
}

const LIGHT: Theme = {
  dark: false,
  text: "#1b1f24",
  faint: "#5c6670",
  line: "#d8dde3",
  accent: "#c2410c",
};

const DARK: Theme = {
  dark: true,
  text: "#e8ebef",
  faint: "#a0a9b4",
  line: "#39414b",
  accent: "#ffb454",
};

/** The theme of the page around `host`: JupyterLab's attribute, VS Code's class, else the page's own background. */
export function themeOf(host: Element): Theme {
  const body = document.body;
  const lab = body.getAttribute("data-jp-theme-light");
  if (lab !== null) return lab === "true" ? LIGHT : DARK;
  if (body.classList.contains("vscode-dark") || body.classList.contains("vscode-high-contrast")) return DARK;
  if (body.classList.contains("vscode-light")) return LIGHT;
  const set = document.documentElement.getAttribute("data-theme");
  if (set) return set === "dark" ? DARK : LIGHT;
  const behind = background(host);
  if (behind !== undefined) return behind < 0.4 ? DARK : LIGHT;
  return matchMedia("(prefers-color-scheme: dark)").matches ? DARK : LIGHT;
}

/** Call `changed` whenever the theme may have changed; returns how to stop. */
export function watchTheme(changed: () => void): () => void {
  const observer = new MutationObserver(changed);
  const watched = { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-theme"] };
  observer.observe(document.body, watched);
  observer.observe(document.documentElement, watched);
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", changed);
  };
}

function background(host: Element): number | undefined {
  for (let at: Element | null = host.parentElement; at; at = at.parentElement) {
    const found = /rgba?\(([\d.]+)[, ]+([\d.]+)[, ]+([\d.]+)(?:[,/ ]+([\d.]+))?/.exec(getComputedStyle(at).backgroundColor);
    if (found && (found[4] === undefined || Number(found[4]) > 0.5)) {
      return (0.299 * Number(found[1]) + 0.587 * Number(found[2]) + 0.114 * Number(found[3])) / 255;
    }
  }
  return undefined;
}
