"""Draw what was measured: `python -m benchmarks.plots` reads benchmarks/results and writes pictures beside the figures."""

import json
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

from .pairs import RESULTS
from .peers.__main__ import WORKS

_OURS, _THEIRS = "#0072b2", "#b8b8b8"
LABELS = {"nnsight": "nnsight 0.8.1", "nnterp": "nnterp 1.3", "transformer_lens": "TransformerLens 4.3"}
LABELS |= {"steering_vectors": "steering-vectors 0.12", "repeng": "repeng 0.4"}
LABELS |= {"sae_lens": "SAELens 6.54", "dictionary_learning": "dictionary-learning 0.1", "sparsify": "sparsify 1.3"}
LABELS |= {"tuned_lens": "tuned-lens 0.2", "interp_engine": "interp-engine 1.14", "ours": "interp-magics"}


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def peers() -> None:
    """CPU time of each library over ours, for each piece of work."""
    figure, axes = plt.subplots(-(-len(WORKS) // 2), 2, figsize=(10, 9), layout="constrained")
    for spare in axes.flat[len(WORKS) :]:
        spare.set_axis_off()
    for work, axis in zip(WORKS, axes.flat, strict=False):
        sides = dict(sorted(_read(f"peers_{work}")["sides"].items(), key=lambda item: -item[1]["ratio"]))
        names = [LABELS.get(name, name) for name in sides]
        ratios = [side["ratio"] for side in sides.values()]
        spread = [[s["ratio"] - s["low"] for s in sides.values()], [s["high"] - s["ratio"] for s in sides.values()]]
        colours = [_OURS if name == "ours" else _THEIRS for name in sides]
        axis.barh(names, ratios, xerr=spread, color=colours, ecolor="#555555", height=0.65)
        axis.axvline(1.0, color=_OURS, linewidth=0.8)
        axis.set_title(WORKS[work], fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("CPU time over interp-magics', with a 95 % interval", fontsize=10)
    figure.savefig(RESULTS / "peers.svg")


def regime() -> None:
    """Time and memory of the five ways at 1,000 + 500 tokens."""
    found = _read("regime")
    ways = ("A", "A'", "B", "ours (B)", "ours")
    figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
    for axis, unit, title in zip(
        axes, ("CPU s", "MB"), ("CPU seconds", "peak memory above the model, MB"), strict=True
    ):
        values = [found[f"1000+500 {way}: {unit}"] for way in ways]
        bars = axis.barh(ways, values, color=[_OURS if "ours" in way else _THEIRS for way in ways], height=0.65)
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=9)
        axis.set_xscale("log")
        axis.margins(x=0.12)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "regime.svg")


def growth() -> None:
    """A lens by tokens and by layers, generation by users."""
    found = _read("growth")["of"]
    panels = (
        ("tokens", "seconds", "lens of 12 layers, CPU s"),
        ("layers", "seconds", "lens of 256 tokens, CPU s"),
        ("users", "tokens_per_second", "generation, tokens per CPU second"),
    )
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for axis, (what, value, title) in zip(axes, panels, strict=True):
        places = [int(place) for place in found[what]]
        axis.plot(places, [point[value] for point in found[what].values()], marker="o", color=_OURS)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        axis.set_xticks(places, [str(place) for place in places])
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set_xlabel(what, fontsize=9)
        axis.set_title(title, fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "growth.svg")


if __name__ == "__main__":
    plt.rcParams.update({"font.size": 9, "svg.hashsalt": "interp-magics"})
    for draw in (peers, regime, growth):
        draw()
