"""How an attribution looks; its heads' patterns are fetched when they are chosen."""

import threading
from importlib import import_module
from typing import Any

import numpy as np

from ..data import live
from ..data.attribution import Attribution
from ..program.language import Ids, Program, Row, Stage, Tap
from .drawn import drawn


def _data(found: Attribution) -> Any:
    return import_module("interp_widgets.attribution").AttributionData(
        model=found.provenance.model,
        target=found.token(found.target),
        foil=found.token(found.foil),
        tokens=tuple(found.token(int(i)) for i in found.token_ids),
        embed=found.embed,
        attn=found.attn,
        mlp=found.mlp,
        heads=found.heads,
        constant=found.constant,
        total=found.total,
    )


def _widget(found: Attribution) -> Any:
    widget = import_module("interp_widgets.attribution").Attribution(_data(found))
    pool = live.source_of(found)
    if pool is None or found.heads is None:
        return widget

    def fetch(layer: int, head: int) -> None:
        """Whatever goes wrong is said: nobody else hears of it here. An answer that is wanted no more is dropped."""
        try:
            weights, trouble = pattern(found, layer, head, pool), ""
        except Exception as error:
            weights, trouble = None, str(error)
        if widget.chosen != {"layer": layer, "head": head}:
            return
        if weights is None:
            widget.trouble = trouble
        else:
            widget.show(layer, head, weights)

    def ask(layer: int, head: int) -> None:
        threading.Thread(target=fetch, args=(layer, head), name="interp-pattern", daemon=True).start()

    widget.answered_by(ask)
    return widget


def pattern(found: Attribution, layer: int, head: int, pool: Any) -> Any:
    """What a head attends to in the text of an attribution: [T, T], queries down. Raises InterpError."""
    row = Row(Ids(tuple(int(i) for i in found.token_ids)))
    program = Program((row,), (Stage((Tap("attn_pattern", (layer,), index=(head,)),)),))
    values = np.asarray(pool.run(program, model=found.provenance.model).read()["values"], np.float32)
    return values[0, :, 0]


drawn(Attribution, "attribution", "Attribution", _data, repr, _widget)
