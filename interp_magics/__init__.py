"""Notebook magics and calls for interpretability on a lab's shared pool of models.

import interp_magics as im
pool = im.connect()
run = pool.lens("The capital of France is")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "connect": "connecting",
    "Pool": "api",
    "Job": "client.job",
    "load": "data.results",
    "LensRun": "data.lens_run",
    "Activations": "data.activations",
    "ActivationStore": "data.activation_store",
    "Completion": "data.completions",
    "SteeringVector": "data.vectors",
    "Intervention": "data.intervention",
    "ablate_subspace": "data.vectors",
    "SteerabilityRun": "data.steerability",
    "Comparison": "data.comparison",
    "SteeredText": "data.steered_text",
    "Dictionary": "data.dictionary",
    "Recipe": "program.dictionaries",
    "FeatureBrowser": "data.feature_browser",
    "FeatureTable": "data.feature_table",
    "Gate": "data.acceptance",
    "Rates": "data.acceptance",
    "coverage": "corpus_coverage",
    "fidelity": "data.fidelity",
    "read_neuronpedia": "data.neuronpedia",
    "write_neuronpedia": "data.neuronpedia",
    "load_sae": "data.dictionary_files",
    "sweep": "data.sweep",
    "Questions": "data.questions",
    "read_questions": "data.questions",
    "InterpError": "errors",
    "RequestError": "errors",
    "RemoteError": "errors",
    "PoolUnavailable": "errors",
    "Cancelled": "errors",
    "TimedOut": "errors",
    "program": "program",
    "load_ipython_extension": "magics",
    "unload_ipython_extension": "magics",
}

#: Names whose use leads to results, which `display` then knows how to show.
_SHOWS = frozenset({"connect", "Pool", "load", "SteeringVector", "sweep"})

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_WHERE[name]}", __name__)
    if name in _SHOWS:
        import_module(".display", __name__)
    value = module if name == "program" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from . import program
    from .api import Pool
    from .client.job import Job
    from .connecting import connect
    from .data.acceptance import Gate, Rates
    from .data.activation_store import ActivationStore
    from .data.activations import Activations
    from .data.comparison import Comparison
    from .data.completions import Completion
    from .data.dictionary import Dictionary
    from .data.dictionary_files import load_sae
    from .data.feature_table import FeatureTable
    from .data.fidelity import fidelity
    from .data.intervention import Intervention
    from .data.lens_run import LensRun
    from .data.questions import Questions, read_questions
    from .data.results import load
    from .data.steerability import SteerabilityRun
    from .data.steered_text import SteeredText
    from .data.vectors import SteeringVector, ablate_subspace
    from .errors import Cancelled, InterpError, PoolUnavailable, RemoteError, RequestError, TimedOut
    from .magics import load_ipython_extension, unload_ipython_extension
    from .program.dictionaries import Recipe
