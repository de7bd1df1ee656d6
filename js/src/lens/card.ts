// The card beside the pointer: what the model would say here.

import { element } from "../lib/dom";
import { nats, probability, visible } from "../lib/text";
import type { LensData, Place } from "./data";

export function fillCard(card: HTMLElement, data: LensData, at: Place): void {
  const { header } = data;
  const many = header.sites.length > 1 ? ` · ${header.sites[at.site]}` : "";
  const place = `layer ${header.layers[at.column]} · position ${header.positions[at.row]}${many}`;
  const list = element("div", { class: "iw-guesses" });
  for (const guess of data.guesses(at)) {
    const bar = element("span", { class: "iw-bar" });
    bar.style.width = `${Math.max(1, 100 * Math.exp(guess.logprob))}%`;
    list.append(
      element("span", { class: "iw-token", title: `id ${guess.id}` }, visible(data.text(guess.id))),
      element("span", { class: "iw-probability" }, probability(guess.logprob)),
      element("span", { class: "iw-track" }, bar),
    );
  }
  card.replaceChildren(
    element("div", { class: "iw-place" }, place),
    element("div", { class: "iw-input" }, "after ", element("span", { class: "iw-token" }, visible(data.input(at.row)))),
    list,
    ...compared(data, at),
    element("div", { class: "iw-place" }, statistics(data, at).join(" · ")),
  );
}

function compared(data: LensData, at: Place): HTMLElement[] {
  const found = data.difference(at);
  if (!found) return [];
  const sign = found.value < 0 ? "−" : "+";
  const said = `${found.bounded ? "at least " : ""}${sign}${nats(Math.abs(found.value))} against ${data.header.base}, where the top is `;
  const token = element("span", { class: "iw-token" }, visible(data.text(found.base.id)));
  return [element("div", { class: "iw-input" }, said, token, ` ${probability(found.base.logprob)}`)];
}

function statistics(data: LensData, at: Place): string[] {
  const entropy = data.statistic("entropy", at);
  const kl = data.statistic("kl", at);
  return [
    ...(entropy === undefined ? [] : [`entropy ${nats(entropy)}`]),
    ...(kl === undefined ? [] : [`KL to final ${nats(kl)}`]),
  ];
}

/** The sentence that a screen reader hears. */
export function spoken(data: LensData, at: Place): string {
  const { header } = data;
  const site = header.sites.length > 1 ? `${header.sites[at.site]}, ` : "";
  const where = `${site}layer ${header.layers[at.column]}, after ${visible(data.input(at.row))}`;
  return `${where}: ${visible(data.text(data.topId(at)))}, ${probability(data.topLogprob(at))}`;
}
