// Buttons that save a chart as a picture and its numbers as a table.

import { element } from "./dom";
import { csv, download } from "./save";
import { themeOf } from "./theme";

const FONT = 11;

/** What is saved: files begin with `name`; the pictures stand side by side. */
export interface Saved {
  readonly name: string;
  readonly root: HTMLElement;
  readonly pictures: () => readonly SVGSVGElement[];
  readonly rows: () => readonly (readonly (string | number)[])[];
}

export function exportButtons(saved: Saved): HTMLElement {
  const image = (): Blob => new Blob([drawingOf(saved.pictures(), saved.root)], { type: "image/svg+xml" });
  return element(
    "div",
    { class: "iw-exports" },
    button("SVG", "Save the picture as SVG", () => download(`${saved.name}.svg`, image())),
    button("PNG", "Save the picture as PNG", () => void savePng(saved)),
    button("CSV", "Save every number as CSV", () => download(`${saved.name}.csv`, new Blob([csv(saved.rows())], { type: "text/csv" }))),
  );
}

function button(text: string, title: string, act: () => void): HTMLElement {
  const made = element("button", { type: "button", title }, text);
  made.addEventListener("click", act);
  return made;
}

/** Pictures as a document of their own: the page's font and ground written into it. */
export function drawingOf(pictures: readonly SVGSVGElement[], root: HTMLElement): string {
  const style = getComputedStyle(root);
  const whole = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  let width = 0;
  let height = 0;
  for (const picture of pictures) {
    const copy = picture.cloneNode(true) as SVGSVGElement;
    copy.setAttribute("x", String(width));
    whole.append(copy);
    width += Number(picture.getAttribute("width"));
    height = Math.max(height, Number(picture.getAttribute("height")));
  }
  whole.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  whole.setAttribute("width", String(width));
  whole.setAttribute("height", String(height));
  whole.setAttribute("style", `font: ${FONT}px ${style.fontFamily}; background: ${themeOf(root).dark ? "#111418" : "#ffffff"}`);
  return new XMLSerializer().serializeToString(whole);
}

async function savePng(saved: Saved): Promise<void> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawingOf(saved.pictures(), saved.root))}`;
  await image.decode();
  const canvas = element("canvas", { width: 2 * image.width, height: 2 * image.height });
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => blob && download(`${saved.name}.png`, blob));
}
