"""A model card as a person reads it."""

from dataclasses import dataclass
from typing import Any

from .program.cards import ModelCard


@dataclass(frozen=True)
class CardView:
    """`str()` is a page: the model, its sites with shapes, and why others are missing."""

    card: ModelCard

    def __str__(self) -> str:
        card = self.card
        lines = [
            f"{card.name}: {card.architecture}, {card.parameters / 1e6:.1f} M parameters, {card.dtype}, engine {card.engine}",
            f"  {card.layers} layers, d_model {card.d_model}, {card.heads} heads ({card.kv_heads} KV) of {card.d_head}, "
            f"d_mlp {card.d_mlp}, vocabulary {card.vocabulary}, context {card.context}",
            f"  checkpoint {card.digest[:16]}",
        ]
        for name, site in card.sites.items():
            shape = " x ".join(str(size) for size in site.shape)
            note = f"  ({site.note})" if site.note else ""
            lines.append(f"  {name:<13}[{site.layers:>3}] {shape}{'' if site.writable else ', read only'}{note}")
        lines += [f"  no {name}: {reason}" for name, reason in card.missing.items()]
        if card.scrubbers:
            lines.append(
                f"  texts of captures, trainings, evaluations and features are cleaned by {', '.join(card.scrubbers)}"
            )
        return "\n".join([*lines, *(f"  {remark}" for remark in card.remarks)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))
