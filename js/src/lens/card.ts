// The card beside the pointer: what the model would say here.

import { element } from "../lib/dom";
import { nats, probability, visible } from "../lib/text";
import type { LensData } from "./data";
import type { Cell } from "./map";

export function fillCard(card: HTMLElement, data: LensData, site: number, cell: Cell): void {
  const { header } = data;
  const position = header.positions[cell.row];
  const place = `layer ${header.layers[cell.column]} · position ${position}`;
  const list = element("div", { class: "iw-guesses" });
  for (const guess of data.guesses(site, cell.column, cell.row)) {
    const bar = element("span", { class: "iw-bar" });
    bar.style.width = `${Math.max(1, 100 * Math.exp(guess.logprob))}%`;
    list.append(
      element("span", { class: "iw-token", title: `id ${guess.id}` }, visible(data.text(guess.id))),
      element("span", { class: "iw-probability" }, probability(guess.logprob)),
      element("span", { class: "iw-track" }, bar),
    );
  }
  const statistics = [];
  const entropy = data.statistic("entropy", site, cell.column, cell.row);
  const kl = data.statistic("kl", site, cell.column, cell.row);
  if (entropy !== undefined) statistics.push(`entropy ${nats(entropy)}`);
  if (kl !== undefined) statistics.push(`KL to final ${nats(kl)}`);
  card.replaceChildren(
    element("div", { class: "iw-place" }, place),
    element("div", { class: "iw-input" }, "after ", element("span", { class: "iw-token" }, visible(data.input(cell.row)))),
    list,
    element("div", { class: "iw-place" }, statistics.join(" · ")),
  );
}

/** The sentence that a screen reader hears. */
export function spoken(data: LensData, site: number, cell: Cell): string {
  const top = data.top(site, cell.column, cell.row);
  const where = `layer ${data.header.layers[cell.column]}, after ${visible(data.input(cell.row))}`;
  return `${where}: ${visible(data.text(top.id))}, ${probability(top.logprob)}`;
}
